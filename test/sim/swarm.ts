/**
 * What one seed does: which faults, crashes and operations it knows at all, and its limits. Swarm testing: a random
 * subset for each seed finds more than everything at once. `without` takes single ones away, to make a failure small.
 */
import type { FlushPolicy, LogConfig } from '../../src/contracts/log-config.ts'
import type { BatchPlan } from './actors/batches.ts'
import { type FaultName, faultKinds } from './world/faults.ts'
import { Random } from './world/random.ts'

export const crashKinds = ['kill', 'power-cut', 'owner-crash'] as const
export type CrashKind = (typeof crashKinds)[number]

/** What happens besides producing and consuming. */
export const operations = [
  'configure',
  'clean-restart',
  'close-reopen',
  'bring-back',
  'checkpoint',
  'verdict-task',
  'rot-index',
  'lose-cache-files',
  'evict-lost-pages',
  'wall-jump',
  'monotonic-jump',
  'client-timeouts',
  'cut-connections',
  'find-by-time',
  'compressed',
  'large-batches',
  'keyed',
  'idempotent',
  'retention',
  'delete-records',
  'compaction',
  'scrub',
] as const
export type OperationName = (typeof operations)[number]

/** What rots on the disk: see actors/decay.ts. */
export const rotNames = [
  'rot-records',
  'rot-marks',
  'rot-flushed-ends',
  'rot-journal',
  'rot-caches',
] as const
export type RotName = (typeof rotNames)[number]

export interface Plan {
  readonly seed: number
  readonly faults: readonly FaultName[]
  readonly crashes: readonly CrashKind[]
  readonly operations: ReadonlySet<OperationName>
  /** Events of the chaos before all is healed. */
  readonly steps: number
  readonly partitionCount: number
  readonly producerCount: number
  readonly consumerCount: number
  readonly config: LogConfig
  readonly policies: readonly FlushPolicy[]
  readonly batches: BatchPlan
  readonly settings: {
    readonly retentionCheckMs: number
    readonly cleanerBackoffMs: number
    readonly cleanerMapBytes: number
    readonly producerIdleMsMax: number
    readonly scrubIntervalMs: number
  }
  /** Disk operations between two crashes, about. */
  readonly crashEvery: number
  readonly recoveryCrashes: boolean
  /** Commands an owner takes in one turn, at most. */
  readonly roundMax: number
  readonly producePauseMs: number
  readonly rot: ReadonlySet<RotName>
  /** Size of a journal's files, and how many dirty logs are not enough for it; null for no journal. */
  readonly journal: { readonly bytes: number; readonly logsMin: number } | null
}

export interface PlanOptions {
  readonly without?: ReadonlySet<string>
  /** Bounds `steps`. */
  readonly stepsMax?: number
}

export function planOf(seed: number, { without = new Set(), stepsMax }: PlanOptions = {}): Plan {
  const random = new Random(seed ^ 0x5eed)
  const kept = <T extends string>(names: readonly T[], share: number): T[] => {
    return names.filter(name => random.fork().chance(share) && !without.has(name))
  }
  const share = random.pick([0, 0.15, 0.4])
  const faults = kept(Object.keys(faultKinds) as FaultName[], share)
  const crashes = kept(crashKinds, 0.6)
  const enabled = new Set(kept(operations, 0.5))
  const policies = kept(['group-commit', 'interval', 'os'] as const, 0.45)
  if (policies.length === 0) policies.push('group-commit')
  const limits = random.fork()
  const steps = limits.logRange(120, 900)
  const isCompacted = enabled.has('compaction')
  return {
    seed,
    faults,
    crashes,
    operations: enabled,
    steps: Math.min(steps, stepsMax ?? steps),
    partitionCount: limits.pick([1, 1, 1, 2, 3]),
    producerCount: limits.range(1, 4),
    consumerCount: limits.range(0, 2),
    config: configOf(limits, policies, enabled),
    policies,
    batches: {
      keyCount: enabled.has('keyed') || isCompacted ? limits.logRange(1, 40) : 0,
      tombstones: limits.chance(0.5),
      compressed: enabled.has('compressed'),
      large: enabled.has('large-batches'),
    },
    settings: {
      retentionCheckMs: limits.logRange(20, 5_000),
      cleanerBackoffMs: limits.logRange(20, 5_000),
      cleanerMapBytes: limits.logRange(512, 1024 * 1024),
      // Beyond all the time that ever passes, so that no producer may be forgotten.
      producerIdleMsMax: 1e10,
      scrubIntervalMs: limits.logRange(2_000, 200_000),
    },
    crashEvery: limits.logRange(30, 1_500),
    recoveryCrashes: limits.chance(0.34) && !without.has('recovery-crashes'),
    roundMax: limits.pick([1, 3, 512]),
    producePauseMs: limits.logRange(1, 300),
    journal: journalOf(seed, without),
    rot: rotOf(seed, without, isCompacted),
  }
}

/** Drawn apart, so that the lives of seeds without it are what they were. */
function journalOf(seed: number, without: ReadonlySet<string>): Plan['journal'] {
  const random = new Random(seed ^ 0x70a1)
  if (without.has('journal') || random.chance(0.4)) return null
  return { bytes: random.logRange(3_000, 100_000), logsMin: random.pick([0, 0, 0, 1]) }
}

/** Drawn apart as well. Which records of a compacted log are there cannot be told from what rot made of the files. */
function rotOf(
  seed: number,
  without: ReadonlySet<string>,
  isCompacted: boolean,
): ReadonlySet<RotName> {
  const random = new Random(seed ^ 0x407)
  if (random.chance(0.6)) return new Set()
  const names = rotNames.filter(name => random.chance(0.5) && !without.has(name))
  return new Set(isCompacted ? names.filter(name => name === 'rot-caches') : names)
}

export function configOf(
  random: Random,
  policies: readonly FlushPolicy[],
  enabled: ReadonlySet<OperationName>,
): LogConfig {
  const isCompacted = enabled.has('compaction')
  const isDeleting = enabled.has('retention')
  const unlimited = Number.POSITIVE_INFINITY
  const stamps = random.chance(0.2) ? 'LogAppendTime' : 'CreateTime'
  return {
    segmentBytesMax: random.logRange(1024, 64 * 1024),
    segmentAgeMsMax: random.chance(0.3) ? random.logRange(100, 60_000) : Number.MAX_SAFE_INTEGER,
    indexBytesMax: random.pick([24, 200, 10 * 1024 * 1024]),
    indexIntervalBytes: random.logRange(64, 8192),
    batchBytesMax: random.pick([2048, 1024 * 1024]),
    timestampType: stamps,
    flushPolicy: random.pick(policies),
    flushMessages: random.logRange(1, 200),
    flushMs: random.pick([random.logRange(1, 5_000), Number.MAX_SAFE_INTEGER]),
    cleanupDelete: !isCompacted || random.chance(0.5),
    cleanupCompact: isCompacted,
    retentionMs: isDeleting && random.chance(0.5) ? random.logRange(50, 60_000) : unlimited,
    retentionBytes: isDeleting && random.chance(0.5) ? random.logRange(500, 100_000) : unlimited,
    deleteRetentionMs: random.logRange(1, 86_400_000),
    minCleanableRatio: random.pick([0, 0.1, 0.5]),
    minCompactionLagMs: 0,
    maxCompactionLagMs: Number.POSITIVE_INFINITY,
    timestampBeforeMsMax: Number.POSITIVE_INFINITY,
    timestampAfterMsMax: Number.POSITIVE_INFINITY,
    isInternal: false,
  }
}
