/** The dispatchers as one owner sees them: their rings, their arenas, and the doorbell of each. Owner thread only. */
import { commandSlots, type OwnerBoot, replySlots } from '../src/contracts/owner-boot.ts'
import { Metric, type ThreadMetrics } from '../src/metrics.ts'
import { type Reply, writeReply } from '../src/ring/commands.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import { ensure } from '../src/ring/ensure.ts'
import { Ring } from '../src/ring/ring.ts'

export interface Link {
  readonly index: number
  readonly commands: Ring
  readonly replies: Ring
  readonly doorbell: Doorbell
  readonly requests: Buffer
  readonly responses: Buffer
  unpublished: number
}

export class Links {
  readonly all: readonly Link[]
  readonly #metrics: ThreadMetrics

  constructor(boot: OwnerBoot, metrics: ThreadMetrics) {
    this.#metrics = metrics
    this.all = boot.links.map((memory, index) => ({
      index,
      commands: new Ring(memory.commandRing, commandSlots),
      replies: new Ring(memory.replyRing, replySlots(boot.partitionsMax)),
      doorbell: new Doorbell(memory.doorbells, memory.doorbellIndex),
      requests: Buffer.from(memory.requestArena),
      responses: Buffer.from(memory.responseArena),
      unpublished: 0,
    }))
  }

  /** Queues a reply; `ring` makes it visible. */
  reply(link: Link, reply: Reply): void {
    const at = link.replies.claim()
    ensure(at !== -1, 'a reply ring has room for every command and every notice')
    writeReply(link.replies.words, at, reply)
    link.unpublished++
  }

  /** Publishes what was queued and wakes the dispatchers that sleep. */
  ring(): void {
    for (const link of this.all) {
      if (link.unpublished === 0) continue
      link.unpublished = 0
      link.replies.publish()
      if (link.doorbell.ring()) this.#metrics.add(Metric.doorbells, 1)
    }
  }

  hasCommands(): boolean {
    return this.all.some(hasCommands)
  }
}

function hasCommands(link: Link): boolean {
  return link.commands.peek() !== -1
}
