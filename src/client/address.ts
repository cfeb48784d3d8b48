/** Broker addresses as people write them. Any thread. */
import { Errors, KafkaError } from '../protocol/errors.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export const defaultBootstrap = '127.0.0.1:9092'

/**
 * Parses `HOST:PORT[,HOST:PORT...]`; IPv6 hosts stand in brackets, a missing port is 9092.
 * @throws KafkaError INVALID_CONFIG naming the part that is wrong
 */
export function parseBootstrap(text: string): Address[] {
  const addresses = text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
    .map(parseAddress)
  if (addresses.length === 0) {
    throw new KafkaError(Errors.INVALID_CONFIG, 'bootstrap is empty: give HOST:PORT')
  }
  return addresses
}

function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text)
  const port = Number(match?.[3] ?? 9092)
  if (match === null || port < 1 || port > 65535) {
    throw new KafkaError(Errors.INVALID_CONFIG, `bootstrap '${text}' is not HOST:PORT`)
  }
  return { host: (match[1] ?? match[2])!, port }
}

/** The form people type: brackets around IPv6. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
