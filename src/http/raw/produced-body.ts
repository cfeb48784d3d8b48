/**
 * The answer to a raw produce request, the same bytes from fastify's routes and from the hot path. ASCII.
 *
 *   {"topic":"orders","partition":0,"base_offset":"12","count":50,"durable":true}
 */

/**
 * @param topic a topic that exists: its name needs no escaping
 * @param baseOffset of the first record; -1 (acks=0) is told as null
 * @param isDurable the records are flushed to the disk: acks=all, on a topic that waits for the flush
 */
export function producedBody(
  topic: string,
  partition: number,
  baseOffset: number,
  count: number,
  isDurable: boolean,
): string {
  const offset = baseOffset < 0 ? 'null' : `"${baseOffset}"`
  return `{"topic":"${topic}","partition":${partition},"base_offset":${offset},"count":${count},"durable":${isDurable}}`
}

/** What tells of a large append that went in several batches, the first of which are stored. */
export function partlyStored(
  errorCode: number,
  message: string,
  topic: string,
  partition: number,
  baseOffset: number,
  count: number,
) {
  return {
    error_code: errorCode,
    message: `${message}; the first ${count} records are stored`,
    topic,
    partition,
    base_offset: baseOffset < 0 ? null : String(baseOffset),
    count,
  }
}
