/**
 * Entry of an owner thread: drains commands, appends and reads in its own logs, answers. Shares nothing but the rings,
 * the arenas' bytes, the offset table and its metrics section.
 *
 *   round   take commands → stage appends (check, assign offsets) ; serve reads
 *           → commit each touched log with one write → replies → doorbell
 *   sleep   Atomics.waitAsync on the doorbell: syncs, timers and the control plane (comlink) go on meanwhile
 *
 * An append's reply gives its arena region back; acks=all waits at the dispatcher for the high watermark to move.
 */
import { getHeapStatistics } from 'node:v8'
import { parentPort, workerData } from 'node:worker_threads'
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { systemClock } from '../src/clock.ts'
import type { OwnerHost } from '../src/contracts/control.ts'
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import { Metric, ThreadMetrics } from '../src/metrics.ts'
import { Pulse } from '../src/ring/pulse.ts'
import { OwnerControlPlane } from './control.ts'
import { diskThatTells } from './disk.ts'
import { sealedFiles } from './log/open-files.ts'
import { ownerHousekeeping } from './owner-housekeeping.ts'
import { OwnerLoop } from './owner-loop.ts'

if (parentPort === null) throw new Error('partition-owner.ts is the entry of a worker thread')

const heapLookMs = 10_000

const boot = workerData as OwnerBoot
const metrics = new ThreadMetrics(boot.metrics, boot.metricsThread)
metrics.clearGauges()
sealedFiles.countMax = boot.sealedFilesMax
const pulse = new Pulse(boot.pulse)
const onSync = (seconds: number): void => {
  metrics.add(Metric.flushes, 1)
  metrics.observe(Metric.flushSeconds, seconds)
}
const disk = diskThatTells(onSync, pulse)
const noteHeap = (): void => metrics.set(Metric.heapUsedBytes, getHeapStatistics().used_heap_size)
noteHeap()
setInterval(noteHeap, heapLookMs).unref()
const host = Comlink.wrap<OwnerHost>(nodeEndpoint(boot.hostPort))
const loop = new OwnerLoop(boot, { disk, clock: systemClock, tasks: host }, metrics, host, pulse)
const housekeeping = ownerHousekeeping(boot, loop)
Comlink.expose(new OwnerControlPlane(loop, housekeeping), nodeEndpoint(parentPort))
loop.start()
housekeeping.start()
