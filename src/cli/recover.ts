/** `odradek log recover`: asks a running broker, over HTTP, to bring an offline partition back. */
import { UsageError } from './failure.ts'

export interface RecoverFlags {
  readonly admin: string
  readonly json: boolean
}

interface Answer {
  readonly message?: string
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
  const answer = await post(flags.admin, path)
  if (flags.json) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else {
    const { log_start_offset: start, log_end_offset: end } = answer
    process.stdout.write(`${name} is online: offsets ${start} to ${end}\n`)
  }
}

async function post(admin: string, path: string): Promise<Answer> {
  const url = URL.canParse(admin) ? new URL(path, admin) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`--admin ${admin}: it must be a URL, as in http://127.0.0.1:8082`)
  }
  const response = await fetch(url, { method: 'POST' }).catch((error: Error) => {
    const why = error.cause instanceof Error ? error.cause.message : error.message
    throw new Error(
      `no broker reached at ${admin} (${why}): give --admin URL, its HTTP address as odradek start prints it`,
    )
  })
  const text = await response.text()
  const answer = parsed(text)
  if (response.ok && answer !== null) return answer
  throw new Error(answer?.message ?? `${admin} answered ${response.status}: not an odradek broker`)
}

function parsed(text: string): Answer | null {
  try {
    return JSON.parse(text) as Answer
  } catch {
    return null
  }
}
