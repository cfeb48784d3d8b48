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
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import type { TaskRunner } from '../src/contracts/tasks.ts'
import { Metric, ThreadMetrics } from '../src/metrics.ts'
import { OwnerControlPlane } from './control.ts'
import { diskThatTells } from './disk.ts'
import { OwnerLoop } from './owner-loop.ts'

if (parentPort === null) throw new Error('partition-owner.ts is the entry of a worker thread')

const heapLookMs = 10_000

const boot = workerData as OwnerBoot
const metrics = new ThreadMetrics(boot.metrics, boot.metricsThread)
metrics.clearGauges()
const disk = diskThatTells(seconds => {
  metrics.add(Metric.flushes, 1)
  metrics.observe(Metric.flushSeconds, seconds)
})
const noteHeap = (): void => metrics.set(Metric.heapUsedBytes, getHeapStatistics().used_heap_size)
noteHeap()
setInterval(noteHeap, heapLookMs).unref()
const tasks = Comlink.wrap<TaskRunner>(nodeEndpoint(boot.tasksPort))
const loop = new OwnerLoop(boot, { disk, clock: systemClock, tasks }, metrics)
Comlink.expose(new OwnerControlPlane(loop), nodeEndpoint(parentPort))
loop.start()
