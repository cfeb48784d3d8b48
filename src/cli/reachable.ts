/** The first contact of a client command: when nobody is there, it says so at once and what to do. */
import { Errors, KafkaError } from '../protocol/errors.ts'

/** Runs `connect`; a failure to reach any broker names the cure. */
export async function reachable(bootstrap: string, connect: () => Promise<void>): Promise<void> {
  try {
    await connect()
  } catch (error) {
    const isNetwork = error instanceof KafkaError && error.code === Errors.NETWORK_EXCEPTION
    if (!isNetwork) throw error
    throw new Error(
      `no broker reached at ${bootstrap} (${error.message}): start one with odradek start, or give --bootstrap HOST:PORT`,
      { cause: error },
    )
  }
}
