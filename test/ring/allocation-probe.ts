/**
 * Child process of allocation.test.ts: heap bytes per call of everything that runs per request. Started
 * with a young generation so large that no collection runs while it measures, so the growth of the heap is
 * what was allocated.
 */
import { emptyOffsetView, OffsetTable } from '../../src/partitions/offset-table.ts'
import { Arena, type Region } from '../../src/ring/arena.ts'
import {
  emptyCommand,
  emptyReply,
  readCommand,
  readReply,
  writeCommand,
  writeReply,
} from '../../src/ring/commands.ts'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { Ring } from '../../src/ring/ring.ts'

const rounds = 100_000

const ring = new Ring(new SharedArrayBuffer(Ring.bytesFor(64)), 64)
const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytesFor(1)))
const table = new OffsetTable(new SharedArrayBuffer(OffsetTable.bytesFor(4, 1)), 4, 1)
const arena = new Arena(1 << 20)
const command = emptyCommand()
const reply = emptyReply()
const view = emptyOffsetView()
const live: Region[] = []
// Beyond 2^31, so that a number which escapes would need a heap number.
const far = 2 ** 40
let sum = 0

const probes: Record<string, (round: number) => void> = {
  ringCommand(round) {
    command.offset = far + round
    writeCommand(ring.words, ring.claim(), command)
    ring.publish()
    readCommand(ring.words, ring.peek(), command)
    ring.next()
    ring.release()
    sum += command.length + ring.depth() + ring.freeSlots()
  },
  ringReply(round) {
    reply.baseOffset = far + round
    reply.endOffset = far + round + 1
    reply.timestampMs = far - round
    writeReply(ring.words, ring.claim(), reply)
    ring.publish()
    readReply(ring.words, ring.peek(), reply)
    ring.next()
    ring.release()
  },
  doorbell() {
    bell.prepareSleep()
    if (bell.ring()) sum++
    bell.cancelSleep()
  },
  offsetTable(round) {
    // Constants, since a number that a caller computes and boxes to pass it on is not the table's.
    if ((round & 1) === 0) table.publish(2, 1, 1, 2 ** 40, 2 ** 40, 2 ** 41)
    else table.publish(2, 1, 1, 2 ** 40, 2 ** 41, 2 ** 41)
    table.watch(2, 0)
    if (table.takeWatch(2, 0)) sum++
    if (table.read(2, 1, view)) sum += view.state
  },
  highWatermark(round) {
    if (table.highWatermark(2) > far + round) sum++
  },
  arena(round) {
    if (live.length === 40) arena.free(live.pop() as Region)
    const region = arena.alloc(1 + (round & 0x3fff)) as Region
    arena.trim(region, 1)
    live.push(region)
    if ((round & 7) === 0) while (live.length > 0) arena.free(live.pop() as Region)
  },
}

function measure(probe: (round: number) => void): number {
  const before = process.memoryUsage().heapUsed
  for (let round = 0; round < rounds; round++) probe(round)
  return (process.memoryUsage().heapUsed - before) / rounds
}

const bytesPerCall: Record<string, number> = {}
for (const [name, probe] of Object.entries(probes)) {
  // Code that is not compiled yet boxes numbers; what counts is what is left once it is.
  let least = Number.POSITIVE_INFINITY
  for (let pass = 0; pass < 8; pass++) least = Math.min(least, measure(probe))
  bytesPerCall[name] = least
}
console.log(JSON.stringify({ bytesPerCall, sum }))
