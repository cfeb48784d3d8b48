/**
 * What `bench paper` keeps: one entry for each case of each system, one run for each repeat. Written after every run,
 * read again by --resume.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import type { Machine } from './machine.ts'
import type { CurvePoint, Level } from './rivals/rival.ts'

/** One step of a run: producing, or consuming. */
export interface StepFigures {
  readonly messages: number
  readonly seconds: number
  readonly messagesPerSecond: number
  /** 10^6 bytes of message bodies. */
  readonly megabytesPerSecond: number
  readonly brokerCpuPerMillion: number
  readonly brokerCores: number
  readonly clientCores: number
  readonly curve: readonly CurvePoint[]
}

export interface PaperRun {
  readonly produce: StepFigures
  readonly consume: StepFigures | null
  /** What the disk holds for a message beyond its body; NaN (null in JSON) when it could not be told. */
  readonly overheadBytes: number | null
  readonly brokerRssMegabytes: number
}

export interface PaperEntry {
  readonly system: string
  readonly driver: string
  readonly consuming: string
  readonly clientBound: string | null
  readonly level: Level
  readonly batch: number
  readonly durability: string
  /** By repeat; null: not run yet. */
  readonly runs: (PaperRun | { readonly failed: string } | null)[]
}

export interface PaperResults {
  readonly startedAt: string
  machine: Machine
  readonly messages: number
  readonly seconds: number
  readonly messageBytes: number
  readonly warmupMessages: number
  /** Version of each system that was measured. */
  readonly versions: Record<string, string>
  /** Why a system asked for could not be measured. */
  readonly missing: Record<string, string>
  readonly entries: PaperEntry[]
}

export function isRun(run: PaperEntry['runs'][number] | undefined): run is PaperRun {
  return run !== null && run !== undefined && !('failed' in run)
}

/** `2-core-x86_64`: tells machines apart without naming one. */
export function hostClass(): string {
  const architecture = os.arch() === 'x64' ? 'x86_64' : os.arch()
  return `${os.cpus().length}-core-${architecture}`
}

/** bench/results/2026-01-31-2-core-x86_64.json */
export function resultsPath(day: string): string {
  return join(import.meta.dirname, 'results', `${day}-${hostClass()}.json`)
}

/** Whole or not at all: a bench may be interrupted while it writes. */
export function writeWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(`${path}.part`, text)
  renameSync(`${path}.part`, path)
}

/** Throws when `path` holds something else, or what was measured with other settings. */
export function readResults(
  path: string,
  wanted: Pick<PaperResults, 'messages' | 'seconds' | 'messageBytes' | 'warmupMessages'>,
): PaperResults | null {
  if (!existsSync(path)) return null
  const results = JSON.parse(readFileSync(path, 'utf8')) as PaperResults
  for (const setting of ['messages', 'seconds', 'messageBytes', 'warmupMessages'] as const) {
    if (results[setting] === wanted[setting]) continue
    throw new Error(
      `${path} was measured with ${setting} ${results[setting]}, not ${wanted[setting]}: ` +
        'give the same settings, or another --json',
    )
  }
  return results
}
