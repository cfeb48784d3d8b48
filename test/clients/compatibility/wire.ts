/** Lines between runner and driver: JSON, with the bytes of keys, values and headers in base64. */

export function toLine(message: object): string {
  return `${JSON.stringify(encoded(message))}\n`
}

/** Buffers anywhere inside become base64 (their own toJSON would come first in a replacer). */
function encoded(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (Array.isArray(value)) return value.map(encoded)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, encoded(one)]))
}

/** @throws SyntaxError when it is no JSON. */
export function fromLine(line: string): unknown {
  return JSON.parse(line, (name, value: unknown) => {
    if ((name === 'key' || name === 'value') && typeof value === 'string') return bytes(value)
    if (name === 'headers' && Array.isArray(value)) {
      return value.map(([header, text]: [string, string]) => [header, bytes(text)])
    }
    return value
  })
}

const bytes = (text: string) => Buffer.from(text, 'base64')
