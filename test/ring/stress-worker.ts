/** Worker thread of the stress tests: plays the one role that workerData names, then posts 'done'. */
import { parentPort, workerData } from 'node:worker_threads'
import { OffsetTable, PartitionState } from '../../src/partitions/offset-table.ts'
import { emptyCommand, writeCommand } from '../../src/ring/commands.ts'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { Ring } from '../../src/ring/ring.ts'
import { answer, ask, fillCommand, OWNER, type Pair, serve } from './stress-sides.ts'

export type Role =
  | { readonly role: 'answer'; readonly pairs: readonly Pair[]; readonly count: number }
  | { readonly role: 'ask'; readonly pair: Pair; readonly count: number }
  | { readonly role: 'flood'; readonly ring: SharedArrayBuffer; readonly capacity: number }
  | { readonly role: 'publish'; readonly table: SharedArrayBuffer; readonly count: number }
  | AdvanceRole

export interface AdvanceRole {
  readonly role: 'advance'
  readonly table: SharedArrayBuffer
  readonly commands: SharedArrayBuffer
  readonly bells: SharedArrayBuffer
  readonly count: number
}

/** Commands without end, as fast as they are taken: the test terminates this thread wherever it happens to be. */
function flood(sab: SharedArrayBuffer, capacity: number): void {
  const ring = new Ring(sab, capacity)
  const command = emptyCommand()
  for (let n = 0; ; ) {
    const slot = ring.claim()
    if (slot >= 0) {
      fillCommand(command, n++)
      writeCommand(ring.words, slot, command)
    }
    if (slot < 0 || n % 3 === 0) ring.publish()
  }
}

/** Rows 1..count, each with offsets that only fit each other. */
function publish(sab: SharedArrayBuffer, count: number): void {
  const table = new OffsetTable(sab, 2, 1)
  for (let n = 1; n <= count; n++) {
    table.publish(1, 9, PartitionState.online, n * 3, n * 4_294_967, n * 8_589_934)
  }
}

/** For every command one advance of the high watermark; the dispatcher hears of it only through its watch. */
async function advance(role: AdvanceRole): Promise<void> {
  const table = new OffsetTable(role.table, 1, 1)
  const commands = new Ring(role.commands, 1)
  const dispatcherBell = new Doorbell(role.bells, 1)
  let advanced = 0
  const turn = () => {
    if (commands.peek() < 0) return false
    commands.next()
    commands.release()
    advanced++
    table.publish(0, 0, PartitionState.online, 0, advanced, advanced)
    if (table.takeWatch(0, 0)) dispatcherBell.ring()
    return true
  }
  await serve(new Doorbell(role.bells, OWNER), turn, () => advanced === role.count)
}

function play(role: Role): Promise<void> | void {
  if (role.role === 'answer') return answer(role.pairs, role.count)
  if (role.role === 'ask') return ask(role.pair, role.count)
  if (role.role === 'flood') return flood(role.ring, role.capacity)
  if (role.role === 'publish') return publish(role.table, role.count)
  return advance(role)
}

// Atomics.waitAsync keeps no thread alive, a listening port does.
parentPort?.on('message', () => {})
await play(workerData as Role)
parentPort?.postMessage('done')
parentPort?.close()
