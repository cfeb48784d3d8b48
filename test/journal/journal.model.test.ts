/**
 * An owner with a journal, ended anywhere by a kill, a power cut or the death of its thread, also while the journal is
 * replayed: against a plain list of batches (RELIABILITY P1, P3, P5, P6).
 */
import { expect, test } from 'vitest'
import { seeded } from '../support/fault-disk.ts'
import { JournalLife, untilCrash } from './journal-life.ts'

async function live(life: JournalLife, turns: number): Promise<void> {
  for (let turn = 0; turn < turns && !life.disk.crashed; turn++) {
    untilCrash(life.disk, () => life.turn())
    if (life.disk.crashed) return
    try {
      await life.between()
    } catch (error) {
      if (!life.disk.crashed) throw error
    }
  }
}

/** Ends the process, and starts it until that works. */
function restart(life: JournalLife): void {
  const isPowerCut = life.random() < 0.7
  for (let tries = 0; ; tries++) {
    if (isPowerCut) life.disk.powerCut(life.random)
    else life.disk.kill()
    if (tries < 4 && life.random() < 0.5) {
      life.disk.crashAt = life.disk.operations + 1 + Math.floor(life.random() * 120)
    }
    if (!untilCrash(life.disk, () => life.start(false))) break
  }
  life.disk.crashAt = Number.POSITIVE_INFINITY
  life.check(!isPowerCut)
}

async function run(seed: number, isWild: boolean): Promise<JournalLife> {
  const random = seeded(seed)
  const life = new JournalLife(random, 4, isWild)
  life.start(true)
  for (let crash = 0; crash < 4; crash++) {
    if (random() < 0.8) life.disk.crashAt = life.disk.operations + 1 + Math.floor(random() * 600)
    await live(life, 30)
    const isOwnerDeath = !life.disk.crashed && random() < 0.5
    life.disk.crashAt = Number.POSITIVE_INFINITY
    if (isOwnerDeath) life.restartOwner()
    else restart(life)
  }
  return life
}

test.each([
  ['', false],
  [', while disks fail, policies change, topics are made anew', true],
] as const)(
  'whatever ends it%s, nothing that was flushed is lost, altered or doubled',
  {
    timeout: 120_000,
  },
  async (_, isWild) => {
    const counts = { rounds: 0, refused: 0, replayedBytes: 0 }
    for (let seed = 1; seed <= (isWild ? 150 : 250); seed++) {
      try {
        const life = await run(seed, isWild)
        counts.rounds += life.counts.rounds
        counts.refused += life.counts.refused
        counts.replayedBytes += life.counts.replayedBytes
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
    }
    // Else nothing was tested.
    expect(counts.rounds).toBeGreaterThan(2_000)
    expect(counts.refused).toBeGreaterThan(20)
    expect(counts.replayedBytes).toBeGreaterThan(50_000)
  },
)
