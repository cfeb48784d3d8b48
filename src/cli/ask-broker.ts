/** The command line's side of the HTTP API: one request, its JSON answer, and failures in words that name the cure. */

/** The broker understood the request and refused it; the message is its own. */
export class BrokerRefusal extends Error {
  override name = 'BrokerRefusal'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/**
 * @param admin address of the HTTP API: --admin
 * @throws BrokerRefusal when the broker says no; Error when nobody answers, or somebody else
 */
export async function askBroker<Answer extends object>(
  admin: string,
  path: string,
  method: 'GET' | 'POST' = 'GET',
): Promise<Answer> {
  const response = await fetch(new URL(path, admin), { method }).catch((error: Error) => {
    const why = error.cause instanceof Error ? error.cause.message : error.message
    throw new Error(
      `no broker reached at ${admin} (${why}): give --admin URL, its HTTP address as odradek start prints it`,
    )
  })
  const answer = parsed<Answer & { readonly message?: string }>(await response.text())
  if (response.ok && answer !== null) return answer
  if (answer?.message !== undefined) throw new BrokerRefusal(response.status, answer.message)
  throw new Error(
    `${admin} answered ${response.status}, but is no odradek broker: give --admin URL, its HTTP address`,
  )
}

function parsed<T extends object>(text: string): T | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? (value as T | null) : null
  } catch {
    return null
  }
}
