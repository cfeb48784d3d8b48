/** Where settings come from, who wins, and what the operator is told when one is wrong. */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ConfigError, type ConfigSources, isLoopback, loadConfig } from '../../src/config/config.ts'
import { defaultReaderLimits } from '../../src/protocol/reader.ts'
import { decompressedBytesMaxDefault } from '../../src/protocol/records.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'

const temp = await makeTempDirectory()
afterAll(() => temp.remove())
const directory = temp.path
let files = 0
function yaml(text: string): string {
  const file = join(directory, `${files++}.yaml`)
  writeFileSync(file, text)
  return file
}

function refusal(sources: ConfigSources): string {
  try {
    loadConfig(sources)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as Error).message).not.toContain('\n')
    return (error as Error).message
  }
  return expect.unreachable(`${JSON.stringify(sources)} was accepted`)
}

test('without any source the embedded defaults are in force', () => {
  const config = loadConfig()
  expect(config).toMatchObject({
    kafka: { host: '127.0.0.1', port: 9092 },
    http: { host: '127.0.0.1', port: 8082 },
    advertised: null,
    exposed: false,
    dataDirectory: './data',
    brokerId: 0,
    workers: Math.max(1, availableParallelism() - 1),
    autoCreateTopics: true,
    numPartitions: 1,
    requestArenaBytes: 64 * 1024 * 1024,
    limits: {
      frameBytesMax: 32 * 1024 * 1024,
      reader: defaultReaderLimits,
      decompressedBytesMax: decompressedBytesMaxDefault,
      fetchBytesMax: 8 * 1024 * 1024,
      connectionsPerIpMax: Number.POSITIVE_INFINITY,
      connectionsPerSecondMax: Number.POSITIVE_INFINITY,
      backlogBytesMax: 128 * 1024 * 1024,
      partitionsMax: 4096,
      connectionIdleMs: 600_000,
    },
  })
  expect(config.defaultLog).toEqual({
    segmentBytesMax: 1024 ** 3,
    segmentAgeMsMax: 7 * 24 * 3600 * 1000,
    indexBytesMax: 10 * 1024 * 1024,
    indexIntervalBytes: 4096,
    batchBytesMax: 1024 * 1024 + 12,
    timestampType: 'CreateTime',
    flushPolicy: 'group-commit',
    flushMessages: 500,
    flushMs: 3000,
    cleanupDelete: true,
    cleanupCompact: false,
    retentionMs: 7 * 24 * 3600 * 1000,
    retentionBytes: Number.POSITIVE_INFINITY,
    deleteRetentionMs: 86_400_000,
    minCleanableRatio: 0.5,
    minCompactionLagMs: 0,
    maxCompactionLagMs: Number.POSITIVE_INFINITY,
    timestampBeforeMsMax: Number.POSITIVE_INFINITY,
    timestampAfterMsMax: 3_600_000,
    isInternal: false,
  })
  expect(Object.isFrozen(config) && Object.isFrozen(config.defaultLog)).toBe(true)
})

test('the file is overridden by the environment, that by --set, that by flags', () => {
  const file = yaml('broker.id: 1\n')
  const env = { ODRADEK_BROKER_ID: '2', PATH: '/bin' }
  const set = ['broker.id=3']
  const flags = { brokerId: '4' }
  expect(loadConfig({ file }).brokerId).toBe(1)
  expect(loadConfig({ file, env }).brokerId).toBe(2)
  expect(loadConfig({ file, env, set }).brokerId).toBe(3)
  const config = loadConfig({ file, env, set, flags })
  expect(config.brokerId).toBe(4)
  const inForce = config.inForce.find(({ setting }) => setting.key === 'broker.id')
  expect(inForce).toMatchObject({ text: '4', origin: '--broker-id' })
})

test('every flag of start reaches its setting', () => {
  const config = loadConfig({
    flags: {
      kafka: '[::1]:0',
      http: 'localhost:0',
      advertise: 'broker.example:19092',
      dataDir: '/var/lib/x y',
      workers: 3,
      brokerId: 9,
      logLevel: 'warn',
      insecure: false,
    },
  })
  expect(config).toMatchObject({
    kafka: { host: '::1', port: 0 },
    http: { host: 'localhost', port: 0 },
    advertised: { host: 'broker.example', port: 19092 },
    dataDirectory: '/var/lib/x y',
    workers: 3,
    brokerId: 9,
    logLevel: 'warn',
  })
})

test('YAML may hold typed values, texts and lists; numbers of Java’s never too', () => {
  const file = yaml(
    'log.retention.ms: "1000"\nauto.create.topics.enable: false\nlog.cleanup.policy: [compact, delete]\n' +
      'log.flush.interval.ms: 9223372036854775807\nlisteners: PLAINTEXT://localhost:1234\n',
  )
  const config = loadConfig({ file })
  expect(config.autoCreateTopics).toBe(false)
  expect(config.kafka).toEqual({ host: 'localhost', port: 1234 })
  expect(config.topicDefaults.get('retention.ms')).toBe('1000')
  expect(config.topicDefaults.get('cleanup.policy')).toBe('compact,delete')
  expect(config.topicDefaults.get('flush.ms')).toBe('9223372036854775807')
  expect(config.defaultLog.flushMs, 'as long as a timer can wait').toBe(2 ** 31 - 1)
})

test('an unknown key is refused wherever it stands, with the likely one', () => {
  const hint = /did you mean log\.segment\.bytes\?/
  expect(refusal({ set: ['log.segmnt.bytes=1'] })).toMatch(hint)
  expect(refusal({ set: { 'log.segment.byte': 1 } })).toMatch(hint)
  const file = yaml('log.segments.bytes: 1\n')
  expect(refusal({ file })).toMatch(hint)
  expect(refusal({ file })).toContain(file)
  expect(refusal({ env: { ODRADEK_LOG_SEGMENT_BYTE: '1' } })).toMatch(
    /ODRADEK_LOG_SEGMENT_BYTE: .*did you mean ODRADEK_LOG_SEGMENT_BYTES\?/,
  )
  expect(refusal({ set: ['zzzzzzzzzzzzzzzzzzzzzz=1'] })).toContain('docs/configuration.md')
  for (const key of ['__proto__', 'constructor', 'toString'])
    expect(refusal({ set: [`${key}=1`] })).toContain('no such setting')
})

test('a bad value is refused with key, value, origin and what would be right', () => {
  const cases: [ConfigSources, string][] = [
    [{ set: ['log.segment.bytes=4'] }, 'log.segment.bytes: "4" (from --set) must be an integer of'],
    [{ env: { ODRADEK_WORKERS: 'many' } }, 'workers: "many" (from ODRADEK_WORKERS) must be'],
    [{ flags: { workers: '0' } }, 'workers: "0" (from --workers) must be an integer from 1 to 64'],
    [{ flags: { kafka: 'localhost' } }, 'listeners: "localhost" (from --kafka) must be HOST:PORT'],
    [{ flags: { http: 'localhost:70000' } }, 'http.listener'],
    [{ flags: { logLevel: 'loud' } }, 'must be trace, debug, info, warn, error or silent'],
    [{ set: ['auto.create.topics.enable=yes'] }, 'must be true or false'],
    [{ set: ['log.cleanup.policy=shred'] }, 'a comma-separated list of delete, compact'],
    [{ set: ['log.flush.policy=never'] }, 'group-commit, interval or os'],
    [{ set: ['num.partitions'] }, 'must be KEY=VALUE'],
    [{ set: ['num.partitions=1.5'] }, 'num.partitions: "1.5"'],
    [{ set: ['num.partitions='] }, 'num.partitions: ""'],
    [{ set: ['num.partitions=99999999999999999999'] }, 'num.partitions'],
    [{ file: yaml('broker.id: {a: 1}') }, 'broker.id: {"a":1}'],
    [{ file: yaml('broker.id:\n') }, 'broker.id: null'],
    [{ file: yaml('- a\n- b\n') }, 'key: value'],
    [{ file: yaml('a: [1\n') }, 'not YAML'],
    [{ file: yaml('a: &x 1\nb: *x\n') }, 'not YAML'],
    [{ file: join(directory, 'missing.yaml') }, 'cannot be read: ENOENT'],
    [{ file: directory }, 'cannot be read: EISDIR'],
  ]
  for (const [sources, part] of cases) expect(refusal(sources)).toContain(part)
})

test('settings that contradict each other are refused', () => {
  expect(refusal({ set: ['socket.request.max.bytes=134217728'] })).toContain('request.arena.bytes')
  expect(refusal({ set: ['fetch.max.bytes=134217728'] })).toContain('response.arena.bytes')
  expect(refusal({ set: ['message.max.bytes=134217728'] })).toContain('socket.request.max.bytes')
  expect(refusal({ set: ['num.partitions=5', 'max.partitions=4'] })).toContain('max.partitions')
  const lags = ['log.cleaner.min.compaction.lag.ms=5', 'log.cleaner.max.compaction.lag.ms=4']
  expect(refusal({ set: lags })).toContain('must not exceed log.cleaner.max.compaction.lag.ms (4)')
})

test('an address others can reach needs --insecure', () => {
  for (const host of ['0.0.0.0', '192.168.1.1', '[::]', 'example.org', '128.0.0.1'])
    for (const flag of ['kafka', 'http'])
      expect(refusal({ flags: { [flag]: `${host}:9092` } })).toMatch(/--insecure$/)
  for (const host of ['127.0.0.1', '127.9.9.9', '[::1]', 'localhost', 'LOCALHOST'])
    expect(loadConfig({ flags: { kafka: `${host}:1`, http: `${host}:2` } }).exposed).toBe(false)
  const config = loadConfig({ flags: { kafka: '192.168.1.1:1', insecure: true } })
  expect(config.exposed).toBe(true)
  expect(isLoopback('127.0.0.1.example.org')).toBe(false)
})

test('a wildcard address needs one to advertise', () => {
  for (const host of ['0.0.0.0', '[::]'])
    expect(refusal({ flags: { kafka: `${host}:1`, insecure: true } })).toContain('--advertise')
  const flags = { kafka: '0.0.0.0:1', insecure: true }
  expect(refusal({ flags: { ...flags, advertise: '0.0.0.0:1' } })).toContain('cannot dial 0.0.0.0')
  const config = loadConfig({ flags: { ...flags, advertise: 'me.example:1' } })
  expect(config.advertised).toEqual({ host: 'me.example', port: 1 })
})

test('variables that are not ours do not matter', () => {
  const env = {
    ODRADEK_SERVICE_HOST: '10.0.0.1',
    ODRADEK_PORT: 'tcp://10.0.0.1:9092',
    ODRADEK_PORT_9092_TCP_ADDR: '10.0.0.1',
    ODRADEK_LOG_LEVEL: '',
    KAFKA_BROKER_ID: '7',
  }
  expect(loadConfig({ env })).toEqual(loadConfig())
})
