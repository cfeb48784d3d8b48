/** Small questions about a running broker that several scenarios ask. */
import { setTimeout as delay } from 'node:timers/promises'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import { Violation } from './checker.ts'

const pollMs = 10

/** Waits until `isTrue`. @throws Violation naming what did not come. */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Violation('unexpected', `not within time: ${what}`)
    await delay(pollMs)
  }
}

/** Partitions that are not online, as /readyz names them; empty when the broker is ready. */
export async function notReady(broker: SpawnedBroker): Promise<string> {
  const answer = await fetch(`${broker.httpUrl}/readyz`)
  return answer.status === 200 ? '' : await answer.text()
}

/** Rounds that its owners have written to their journals; 0 when it does not answer. */
export async function journalRounds(broker: SpawnedBroker): Promise<number> {
  const answer = await fetch(`${broker.httpUrl}/metrics`).catch(() => null)
  return Number(/^odradek_journal_rounds_total (\d+)/m.exec((await answer?.text()) ?? '')?.[1] ?? 0)
}

/** @throws Violation when the process has ended by itself. */
export function mustLive(broker: SpawnedBroker, after: string): void {
  const { exitCode, signalCode } = broker.child
  if (exitCode === null && signalCode === null) return
  const last = broker.stderr().trimEnd().split('\n').slice(-5).join('\n')
  throw new Violation(
    'unexpected',
    `the broker ended (${exitCode ?? signalCode}) ${after}\n${last}`,
  )
}
