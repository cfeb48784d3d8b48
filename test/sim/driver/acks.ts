/** When a produce request is answered, as the dispatcher does it: at once, or when the high watermark has passed. */
import { Errors } from '../../../src/protocol/errors.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import type { SentBatch } from '../actors/batches.ts'
import { demand } from '../checker/anomaly.ts'
import { describe } from '../checker/model.ts'
import type { AppendAnswer } from './owner.ts'
import type { Simulation } from './simulation.ts'

/** Somebody with acks=all. */
export interface Waiting {
  readonly endOffset: number
  readonly answer: (error: number) => void
}

export interface ProduceAnswer {
  readonly error: number
  readonly baseOffset: number
}

export interface Appended {
  readonly waiting: Waiting[]
  /** As it is served now. */
  readonly log: PartitionLog | undefined
  readonly batch: SentBatch
  readonly acks: number
}

export function answerAppend(
  sim: Simulation,
  { waiting, log, batch, acks }: Appended,
  { error, baseOffset, endOffset, isDuplicate }: AppendAnswer,
  answer: (answer: ProduceAnswer) => void,
): void {
  if (error !== Errors.NONE || log === undefined || sim.disk.crashed) {
    const isGone = error === Errors.NONE
    answer({ error: isGone ? Errors.NOT_LEADER_OR_FOLLOWER : error, baseOffset: -1 })
    return
  }
  sim.models[batch.slot]?.acked(batch, baseOffset, isDuplicate)
  if (acks !== -1 || log.offsets.highWatermark >= endOffset) {
    if (acks === -1) checkFirm(log, batch, endOffset)
    answer({ error, baseOffset })
    return
  }
  waiting.push({
    endOffset,
    answer: failure => {
      if (failure === Errors.NONE) checkFirm(log, batch, endOffset)
      answer({ error: failure, baseOffset })
    },
  })
}

/** acks=all is answered once the flushed end has passed the batch, but under `os`. */
function checkFirm(log: PartitionLog, batch: SentBatch, endOffset: number): void {
  if (log.config.flushPolicy === 'os') return
  const { flushedEnd } = log.offsets
  demand(endOffset <= flushedEnd, 'ack-above-flushed', () => {
    return `batch ${describe(batch)} to ${endOffset} acked by all, flushed is ${flushedEnd}`
  })
  batch.isAckFirm = true
}
