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
import { parentPort, workerData } from 'node:worker_threads'
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { systemClock } from '../src/clock.ts'
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import { OwnerControlPlane } from './control.ts'
import { realDisk } from './disk.ts'
import { OwnerLoop } from './owner-loop.ts'

if (parentPort === null) throw new Error('partition-owner.ts is the entry of a worker thread')

const boot = workerData as OwnerBoot
const loop = new OwnerLoop(boot, { disk: realDisk, clock: systemClock })
Comlink.expose(new OwnerControlPlane(loop), nodeEndpoint(parentPort))
loop.start()
