/** A promise that was broken. Names follow Jepsen's checker of Redpanda where it has one (RELIABILITY section 6). */
export type AnomalyName =
  | 'lost-write'
  | 'phantom'
  | 'inconsistent-offsets'
  | 'gap'
  | 'nonmonotonic-send'
  | 'nonmonotonic-poll'
  | 'poll-skip'
  | 'int-nonmonotonic-send'
  | 'int-send-skip'
  | 'duplicate'
  | 'not-a-prefix'
  | 'flushed-beyond-disk'
  | 'read-above-high-watermark'
  | 'ack-above-flushed'
  | 'high-watermark-went-back'
  | 'log-start-went-back'
  | 'torn-batch'
  | 'wrong-deletion'
  | 'poisoned-advance'
  | 'leak'
  | 'not-equal-to-model'
  | 'wrong-answer'
  | 'not-live'
  | 'undetected-rot'
  | 'unexpected-error'
  | 'crash'

export class Anomaly extends Error {
  readonly anomaly: AnomalyName

  constructor(anomaly: AnomalyName, detail: string) {
    super(`${anomaly}: ${detail}`)
    this.anomaly = anomaly
  }
}

export function demand(holds: boolean, anomaly: AnomalyName, detail: () => string): asserts holds {
  if (!holds) throw new Anomaly(anomaly, detail())
}
