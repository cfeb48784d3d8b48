/** What `odradek bench` loads: a broker by its Kafka address, or by its HTTP address, which tells the other one. */
import { formatAddress, parseBootstrap } from '../client/address.ts'
import { askBroker } from './ask-broker.ts'
import { UsageError } from './failure.ts'

export interface BenchTarget {
  readonly bootstrap: string
  /** Null: any broker that speaks Kafka's protocol; nothing is known of it but what that tells. */
  readonly http: string | null
}

interface StatusAnswer {
  readonly broker?: { readonly host: string; readonly port: number }
}

/** `text`: as --target gives it. @throws UsageError when it is neither, Error when the HTTP address does not answer */
export async function findTarget(text: string): Promise<BenchTarget> {
  if (!/^https?:\/\//.test(text)) {
    try {
      parseBootstrap(text)
    } catch {
      throw new UsageError(
        `--target ${text}: give HOST:PORT of the Kafka port, or the URL of odradek's HTTP port`,
      )
    }
    return { bootstrap: text, http: null }
  }
  const { broker } = await askBroker<StatusAnswer>(text, '/v1/status')
  if (broker === undefined) throw new Error(`${text} does not tell its Kafka address`)
  return { bootstrap: formatAddress(broker), http: text.replace(/\/+$/, '') }
}

/** CPU seconds that the broker's process has used, as its metrics tell; NaN when they do not. */
export async function brokerCpuSeconds({ http }: BenchTarget): Promise<number> {
  if (http === null) return Number.NaN
  const text = await fetch(new URL('/metrics', http)).then(
    answer => answer.text(),
    () => '',
  )
  const [, seconds] = /^process_cpu_seconds_total ([\d.e+-]+)$/m.exec(text) ?? []
  return Number(seconds ?? Number.NaN)
}
