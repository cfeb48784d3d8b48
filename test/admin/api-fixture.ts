/**
 * Calls API handlers as a connection does: the request and the answer go through their wire form in the given version.
 */
import type { ApiRow, Call } from '../../src/apis/api-row.ts'
import type { ApiSchema } from '../../src/protocol/schema.ts'
import type { Services } from '../../src/services.ts'
import { decode, encode } from '../support/frames.ts'
import { type AdminFixture, nodeId, startAdmin } from './admin-fixture.ts'

export const clusterId = 'abcdefghijklmnopqrstuv'
export const advertised = { host: 'broker.example', port: 19092 }

export interface ApiFixture extends AdminFixture {
  /** The answer to `request`, both as seen on the wire. */
  ask<Req, Res>(row: ApiRow<Req, Res>, apiVersion: number, request: Partial<Req>): Promise<Res>
}

/** The services that these handlers use; the others belong to produce and fetch. */
type UsedServices = Pick<
  Services,
  'config' | 'clusterId' | 'nodeId' | 'advertised' | 'topics' | 'admin' | 'producerIds'
>

export async function startApis(
  dataDirectory: string,
  set: readonly string[] = [],
): Promise<ApiFixture> {
  const fixture = await startAdmin(dataDirectory, set)
  const { config, topics, admin, producerIds } = fixture
  const used: UsedServices = { config, clusterId, nodeId, advertised, topics, admin, producerIds }
  return {
    ...fixture,
    async ask(row, apiVersion, request) {
      return (await askRow(row, apiVersion, request, used as Services)) as never
    },
  }
}

/** `request` may leave out fields that the version does not have. */
export async function askRow<Req, Res>(
  row: ApiRow<Req, Res>,
  apiVersion: number,
  request: Partial<Req>,
  services: Services,
): Promise<Res> {
  const schema = row.schema as unknown as ApiSchema<unknown, unknown>
  const bytes = encode(schema, 'request', apiVersion, request)
  const call: Call<Res> = {
    apiVersion,
    clientId: 'test',
    principal: { type: 'User', name: 'ANONYMOUS' },
    remoteHost: '127.0.0.1',
    respond: () => {
      throw new Error('these handlers return their answer')
    },
  }
  const answer = await row.handle(
    decode(schema, 'request', apiVersion, bytes) as Req,
    call,
    services,
  )
  const sent = encode(schema, 'response', apiVersion, answer)
  return decode(schema, 'response', apiVersion, sent) as Res
}

/** Every version a row serves. */
export function versionsOf(row: {
  readonly schema: { readonly versions: readonly [number, number] }
}): number[] {
  const [min, max] = row.schema.versions
  return Array.from({ length: max - min + 1 }, (_, index) => min + index)
}
