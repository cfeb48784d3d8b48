/**
 * ApiVersions 0-4: what is served, derived from the API rows. Dispatcher thread. A version above 4 never gets here: the
 * connection answers it with a v0 body and UNSUPPORTED_VERSION (KIP-511).
 *
 * No features are supported or finalized, so those tags stay empty in every version (KAFKA-17011).
 */
import { Errors } from '../protocol/errors.ts'
import { ApiVersions } from '../protocol/messages/api-versions.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

type ApiVersionsResponse = ResponseOf<typeof ApiVersions>
export type ApiVersionsRow = ApiRow<RequestOf<typeof ApiVersions>, ApiVersionsResponse>

/** KIP-511's rule for name and version of client software. */
const SOFTWARE = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

/** `rows` is asked at the first request: the table holds this row too. */
export function makeApiVersions(rows: () => readonly ApiRow[]): ApiVersionsRow {
  let answer: ApiVersionsResponse | null = null
  return {
    schema: ApiVersions,
    resource: 'none',
    operation: 'none',
    handle({ clientSoftwareName, clientSoftwareVersion }, call) {
      const named = SOFTWARE.test(clientSoftwareName) && SOFTWARE.test(clientSoftwareVersion)
      if (call.apiVersion >= 3 && !named) return response(Errors.INVALID_REQUEST, [])
      answer ??= response(Errors.NONE, rows())
      return answer
    },
  }
}

/** The answer to an ApiVersions version that is not known here, to be sent in version 0: which ones are. */
export function unknownVersion(): ApiVersionsResponse {
  const { key: apiKey, versions } = ApiVersions
  const apiKeys = [{ apiKey, minVersion: versions[0], maxVersion: versions[1] }]
  return { ...response(Errors.UNSUPPORTED_VERSION, []), apiKeys }
}

function response(errorCode: number, rows: readonly ApiRow[]): ApiVersionsResponse {
  const apiKeys = rows.map(({ schema, advertise }) => {
    const [minVersion, maxVersion] = advertise ?? schema.versions
    return { apiKey: schema.key, minVersion, maxVersion }
  })
  return {
    errorCode,
    apiKeys: apiKeys.sort((a, b) => a.apiKey - b.apiKey),
    throttleTimeMs: 0,
    supportedFeatures: [],
    finalizedFeaturesEpoch: -1,
    finalizedFeatures: [],
    zkMigrationReady: false,
  }
}
