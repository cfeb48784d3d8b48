/**
 * The states of a group and the moves between them. Pure.
 *
 *   Empty ──▶ PreparingRebalance ──▶ CompletingRebalance ──▶ Stable        any ──▶ Dead
 *     ▲             │   ▲                     │                 │
 *     └─────────────┘   └─────────────────────┴─────────────────┘
 *
 * PreparingRebalance gathers JoinGroups, CompletingRebalance waits for the leader's assignment.
 */
export const moves = {
  Empty: ['PreparingRebalance', 'Dead'],
  PreparingRebalance: ['CompletingRebalance', 'Empty', 'Dead'],
  CompletingRebalance: ['Stable', 'PreparingRebalance', 'Dead'],
  Stable: ['PreparingRebalance', 'Dead'],
  Dead: [],
} as const satisfies Record<string, readonly string[]>

export type GroupState = keyof typeof moves

export function mayMove(from: GroupState, to: GroupState): boolean {
  return (moves[from] as readonly GroupState[]).includes(to)
}
