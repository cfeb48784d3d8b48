/** Metrics of consumer groups: rows of the table of metrics (metrics-table.ts). Any thread. */
import type { MetricRow } from './metrics-table.ts'

export const groupMetricRows = {
  groups: {
    name: 'groups',
    type: 'gauge',
    help: 'Consumer groups by state, those that only commit offsets included',
    label: {
      name: 'state',
      values: ['Empty', 'PreparingRebalance', 'CompletingRebalance', 'Stable'],
    },
  },
  groupMembers: { name: 'group_members', type: 'gauge', help: 'Members of all groups' },
  groupMemberEvents: {
    name: 'group_member_events_total',
    type: 'counter',
    help: 'What happened to members of groups',
    label: {
      name: 'event',
      values: [
        'joined',
        'rejoined',
        'left',
        'late',
        'expired',
        'replaced',
        'fenced',
        'returned',
        'refused',
        'disconnected',
      ],
    },
  },
  groupRebalances: {
    name: 'group_rebalances_total',
    type: 'counter',
    help: 'Rebalances of groups begun',
  },
  groupRebalanceSeconds: {
    name: 'group_rebalance_seconds',
    type: 'histogram',
    help: 'Time from the begin of a rebalance until the assignment was given out',
  },
  committedOffsets: {
    name: 'committed_offsets',
    type: 'gauge',
    help: 'Offsets that groups have committed and that are kept',
  },
  offsetsCommitted: {
    name: 'offsets_committed_total',
    type: 'counter',
    help: 'Changes of committed offsets made durable, deletions included',
  },
  offsetCommitErrors: {
    name: 'offset_commit_errors_total',
    type: 'counter',
    help: 'Changes of committed offsets that could not be made durable in time',
  },
} as const satisfies Record<string, MetricRow>
