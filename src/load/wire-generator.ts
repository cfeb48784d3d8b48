/**
 * The load generator of the Kafka protocol (see generator.ts). By hand:
 *
 *   node src/load/wire-generator.ts '{"mode":"produce","port":9092,"topic":"load","recordsPerBatch":50,"seconds":2}'
 */
import { runGenerator } from './generator.ts'
import type { WindowSettings } from './load-window.ts'
import { ConsumeLoad, type ConsumeSettings } from './wire-consume.ts'
import { ProduceLoad, type ProduceSettings } from './wire-produce.ts'

export interface WireLoadSettings extends ProduceSettings, ConsumeSettings, WindowSettings {
  readonly mode: 'produce' | 'consume'
  readonly connectionCount: number
}

const defaults: WireLoadSettings = {
  mode: 'produce',
  host: '127.0.0.1',
  port: 9092,
  topic: 'load',
  partitionCount: 1,
  firstPartition: 0,
  recordsPerBatch: 50,
  recordBytes: 200,
  acks: 1,
  inFlight: 64,
  connectionCount: 1,
  maxBytes: 8 * 1024 * 1024,
  partitionMaxBytes: 1024 * 1024,
  checkCrc: false,
  seconds: 5,
  warmupSeconds: 1,
  payloadBytesMax: 2e9,
  serverPid: 0,
  gcProbe: false,
  ballastDirectory: null,
}

if (import.meta.main) {
  await runGenerator(defaults, (settings, window, totals) => {
    const { connectionCount, partitionCount } = settings
    return Array.from({ length: connectionCount }, (_, connection) => {
      if (settings.mode === 'consume') return new ConsumeLoad(settings, window, totals)
      const firstPartition = Math.floor((connection * partitionCount) / connectionCount)
      return new ProduceLoad({ ...settings, firstPartition }, window, totals)
    })
  })
}
