/**
 * The API rows indexed for dispatch: key → row, served range and codecs by version. Dispatcher thread. Built once from
 * apis/index.ts; ApiVersions is answered from the same rows.
 */
import type { ApiRow } from '../apis/api-row.ts'
import { requestsOf, secondsOf } from '../metrics.ts'
import { type Codec, codec } from '../protocol/compile.ts'
import type { ApiSchema } from '../protocol/schema.ts'

export class ServedApi {
  readonly row: ApiRow<unknown, unknown>
  readonly schema: ApiSchema<unknown, unknown>
  readonly key: number
  readonly min: number
  readonly max: number
  readonly requestsMetric: number
  readonly secondsMetric: number
  readonly #codecs: ({ request: Codec<unknown>; response: Codec<unknown> } | undefined)[] = []

  constructor(row: ApiRow<unknown, unknown>) {
    this.row = row
    this.schema = row.schema
    this.key = row.schema.key
    this.min = row.schema.versions[0]
    this.max = row.schema.versions[1]
    this.requestsMetric = requestsOf(this.key)
    this.secondsMetric = secondsOf(this.schema.name)
  }

  serves(version: number): boolean {
    return version >= this.min && version <= this.max
  }

  isFlexible(version: number): boolean {
    return version >= this.schema.flexible
  }

  codec(version: number): { request: Codec<unknown>; response: Codec<unknown> } {
    let found = this.#codecs[version]
    if (found === undefined) {
      found = codec(this.schema, version)
      this.#codecs[version] = found
    }
    return found
  }
}

export class ApiTable {
  readonly rows: readonly ApiRow[]
  readonly #byKey: (ServedApi | undefined)[] = []

  constructor(rows: readonly ApiRow[]) {
    this.rows = rows
    for (const row of rows) {
      const served = new ServedApi(row as unknown as ApiRow<unknown, unknown>)
      this.#byKey[served.key] = served
    }
  }

  get(key: number): ServedApi | undefined {
    return this.#byKey[key]
  }

  /** Whether requests of this key and version carry header v2; null for keys we do not know. */
  readonly isFlexible = (key: number, version: number): boolean | null =>
    this.#byKey[key]?.isFlexible(version) ?? null
}
