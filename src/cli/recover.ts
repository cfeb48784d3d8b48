/** `odradek log recover`: asks a running broker, over HTTP, to bring an offline partition back. */
import { askBroker } from './ask-broker.ts'
import { UsageError } from './failure.ts'

export interface RecoverFlags {
  readonly admin: string
  readonly json: boolean
}

interface Answer {
  readonly log_start_offset?: string
  readonly log_end_offset?: string
}

/** @param name as `clicks-0` */
export async function recoverPartition(name: string, flags: RecoverFlags): Promise<void> {
  const parts = /^(?<topic>.{1,249})-(?<partition>\d{1,6})$/.exec(name)?.groups
  if (parts === undefined) {
    throw new UsageError(`${name}: it must be TOPIC-PARTITION, as in clicks-0`)
  }
  const path = `/v1/logs/${encodeURIComponent(parts.topic)}/${parts.partition}/recover`
  const answer = await askBroker<Answer>(flags.admin, path, 'POST')
  if (flags.json) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else {
    const { log_start_offset: start, log_end_offset: end } = answer
    process.stdout.write(`${name} is online: offsets ${start} to ${end}\n`)
  }
}
