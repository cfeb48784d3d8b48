/** ApiVersions 0-4 (KIP-35, KIP-511, KIP-584). Its response header is always v0 (headers.ts). */
import { api, array, bool, int16, int32, int64, since, string, tagged } from '../schema.ts'

export const ApiVersions = api({
  name: 'ApiVersions',
  key: 18,
  versions: [0, 4],
  flexible: 3,
  request: { clientSoftwareName: since(3, string), clientSoftwareVersion: since(3, string) },
  response: {
    errorCode: int16,
    apiKeys: array({ apiKey: int16, minVersion: int16, maxVersion: int16 }),
    throttleTimeMs: since(1, int32),
    supportedFeatures: since(
      3,
      tagged(0, array({ name: string, minVersion: int16, maxVersion: int16 })),
    ),
    finalizedFeaturesEpoch: since(3, tagged(1, int64, -1)),
    finalizedFeatures: since(
      3,
      tagged(2, array({ name: string, maxVersionLevel: int16, minVersionLevel: int16 })),
    ),
    zkMigrationReady: since(3, tagged(3, bool)),
  },
})
