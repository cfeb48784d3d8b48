/**
 * Fuzzing of a real broker process, version by version of one API. Oracle: the process lives; every answer is one its
 * own schema reads, and bytes that are no request end their connection (oracle.ts); the honest client notices nothing
 * (canary.ts); memory stays bounded, all that attackers held is given back, and the broker logs no mistake of its own
 * (broker-under-attack.ts).
 */
import type { BrokerUnderAttack } from './broker-under-attack.ts'
import { type Case, makeCase } from './cases.ts'
import { Siege } from './siege.ts'
import type { AnySchema } from './valid.ts'
import { setUpWorld, type World } from './world.ts'

export interface FuzzOptions {
  readonly seed: number
  /** Cases of each version. */
  readonly count: number
  /** Only this version, only this case. */
  readonly version?: number
  readonly only?: number
  readonly onProgress?: (doneCases: number) => void
}

export interface FuzzReport {
  readonly api: string
  readonly versions: number
  readonly cases: number
  readonly answers: number
  readonly closes: number
  readonly parked: number
  readonly seconds: number
  readonly largestAnswerBytes: number
  readonly canarySteps: number
  readonly canarySlowestMs: number
  readonly canarySlowestStep: string
  readonly memoryGrowthBytes: number
}

/**
 * Attacks one API of a broker that runs.
 * @throws Error that says what was found, with the seed and the bytes to see it again.
 */
export async function fuzzApi(
  broker: BrokerUnderAttack,
  api: AnySchema,
  options: FuzzOptions,
): Promise<FuzzReport> {
  const { seed, version: only } = options
  const [min, max] = api.versions
  const all = Array.from({ length: max - min + 1 }, (_, i) => min + i)
  const versions = all.filter(version => only === undefined || version === only)
  const { bootstrap, canary } = broker
  const startedMs = performance.now()
  const siege = new Siege(broker)
  for (const version of versions) {
    const isMine = (topic: string) => topic === canary.topic
    const world = await setUpWorld(bootstrap, `${api.key}-${version}`, isMine)
    const cases = casesOf(api, version, world, options, siege)
    await siege.attack(cases, one => reproducer(one, seed))
  }
  siege.leave()
  await broker.untilCalm()
  return {
    api: api.name,
    versions: versions.length,
    cases: siege.done,
    answers: siege.answers,
    closes: siege.closes,
    parked: siege.parked,
    seconds: (performance.now() - startedMs) / 1000,
    largestAnswerBytes: siege.largestAnswerBytes,
    canarySteps: canary.steps,
    canarySlowestMs: canary.slowestMs,
    canarySlowestStep: canary.slowestStep,
    memoryGrowthBytes: broker.memoryGrowthBytes,
  }
}

function* casesOf(
  api: AnySchema,
  version: number,
  world: World,
  { seed, count, only, onProgress }: FuzzOptions,
  siege: Siege,
): Generator<Case> {
  const end = only === undefined ? count : only + 1
  for (let index = only ?? 0; index < end; index++) {
    onProgress?.(siege.done)
    yield makeCase(api, version, index, seed, world)
  }
}

function reproducer({ api, version, index, kind }: Case, seed: number): string {
  const run = `npm run fuzz -- --api ${api.name} --version ${version} --case ${index} --seed ${seed}`
  return `${api.name} v${version} case ${index} (${kind}): ${run}`
}
