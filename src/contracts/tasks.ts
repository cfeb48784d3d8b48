/**
 * How an owner thread gets long reads done elsewhere: it asks for a task of the pool (workers/tasks/<name>.ts) over the
 * control plane. A task reads sealed files and writes temporary ones; the owner judges and acts. The simulation runs
 * the same functions on its own disk. Types only.
 */
export type TaskName =
  | 'recover-segment'
  | 'find-record'
  | 'unpack-batches'
  | 'gunzip'
  | 'match-topics'
  | 'scrub-segment'
  | 'compact-segments'
  | 'verify-log'
  | 'prepare-journal'
  | 'replay-journals'

export interface TaskRunner {
  /** Runs `task` on `input` (both cloned). Rejects when it throws or its thread dies; the log is as before then. */
  run(task: TaskName, input: unknown): Promise<unknown>
}
