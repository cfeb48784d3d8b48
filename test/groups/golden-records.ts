/**
 * Makes test/fixtures/golden/group-records.jsonl: keys and values of __consumer_offsets, encoded by
 * test/support/kafka-json.ts from Kafka's own definitions, which are not part of this repository. Where they are, run
 *   node test/groups/golden-records.ts
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  encodeMessage,
  type Json,
  type JsonField,
  type JsonMessage,
} from '../support/kafka-json.ts'

export const definitions = join(import.meta.dirname, '../../../shared/kafka-protocol/internal')
export const goldenRecordsPath = join(import.meta.dirname, '../fixtures/golden/group-records.jsonl')

export interface GoldenRecord {
  readonly name: string
  /** Hex, the version in front. */
  readonly key: string
  readonly value: string | null
}

function load(name: string): JsonMessage {
  const text = readFileSync(join(definitions, `${name}.json`), 'utf8')
  const message = JSON.parse(text.replace(/^\s*\/\/.*$/gm, '')) as JsonMessage
  const fieldsOf = (field: JsonField): JsonField => {
    const common = message.commonStructs?.find(one => one.name === field.type.replace('[]', ''))
    return common === undefined ? field : { ...field, fields: common.fields }
  }
  return { ...message, fields: message.fields.map(fieldsOf) }
}

function encoded(name: string, version: number, value: Json, keyVersion = version): string {
  const bytes = encodeMessage(load(name), version, value)
  const head = Buffer.alloc(2)
  head.writeInt16BE(keyVersion)
  return Buffer.concat([head, bytes]).toString('hex')
}

const hexOf = (text: string): string => `hex:${Buffer.from(text).toString('hex')}`

const offsetKey = { group: 'my group', topic: 'orders', partition: 3 }
const offsetValue = {
  offset: 2 ** 40 + 5,
  leaderEpoch: 7,
  metadata: 'grüße 🦉',
  commitTimestamp: 1_700_000_000_123,
  expireTimestamp: 1_800_000_000_000,
  topicId: Buffer.alloc(16, 9).toString('base64url'),
}
const member = {
  memberId: 'member-1',
  groupInstanceId: null,
  clientId: 'app',
  clientHost: '/127.0.0.1',
  rebalanceTimeout: 60_000,
  sessionTimeout: 10_000,
  subscription: hexOf('subscription 1'),
  assignment: hexOf('assignment 1'),
}
const groupValue = {
  protocolType: 'consumer',
  generation: 42,
  protocol: 'range',
  leader: 'member-1',
  currentStateTimestamp: 1_700_000_000_456,
  members: [
    member,
    {
      ...member,
      memberId: 'member-2',
      groupInstanceId: 'instance',
      clientId: '',
      clientHost: '/10.1.2.3',
      rebalanceTimeout: 5,
      sessionTimeout: 6,
      subscription: hexOf('s'.repeat(2000)),
      assignment: hexOf(''),
    },
  ],
}

export function goldenRecords(): GoldenRecord[] {
  const key = encoded('OffsetCommitKey', 0, offsetKey, 1)
  const groupKey = encoded('GroupMetadataKey', 0, { group: 'my group' }, 2)
  const versions = [0, 1, 2, 3, 4]
  return [
    ...versions.map(version => ({
      name: `offset ${version}`,
      key,
      value: encoded('OffsetCommitValue', version, offsetValue),
    })),
    {
      name: 'legacy offset',
      key: encoded('LegacyOffsetCommitKey', 0, offsetKey),
      value: encoded('LegacyOffsetCommitValue', 0, offsetValue),
    },
    ...versions.map(version => ({
      name: `group ${version}`,
      key: groupKey,
      value: encoded('GroupMetadataValue', version, groupValue),
    })),
  ]
}

export const goldenRecordsText = (records: readonly GoldenRecord[]): string =>
  `${records.map(one => JSON.stringify(one)).join('\n')}\n`

if (process.argv[1] === import.meta.filename) {
  writeFileSync(goldenRecordsPath, goldenRecordsText(goldenRecords()))
}
