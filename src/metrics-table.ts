/**
 * The table of metrics: name, type, meaning and label of each. Any thread; where the numbers live is in metrics.ts,
 * docs/metrics.md repeats this table for people (a test compares the two).
 */
import { groupMetricRows } from './group-metrics-table.ts'
import { tailMetricRows } from './tail-metrics-table.ts'

export interface MetricRow {
  /** Without the prefix `odradek_`. */
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly label?: { readonly name: string; readonly values: readonly string[] }
  /** One series per thread (label `thread`) instead of the sum. */
  readonly perThread?: true
}

/** Kafka's API keys, and the names of those that get a series of their own; all others count as `other`. */
export const apiNames: readonly (readonly [apiKey: number, name: string])[] = [
  [0, 'Produce'],
  [1, 'Fetch'],
  [2, 'ListOffsets'],
  [3, 'Metadata'],
  [8, 'OffsetCommit'],
  [9, 'OffsetFetch'],
  [10, 'FindCoordinator'],
  [11, 'JoinGroup'],
  [12, 'Heartbeat'],
  [13, 'LeaveGroup'],
  [14, 'SyncGroup'],
  [15, 'DescribeGroups'],
  [16, 'ListGroups'],
  [17, 'SaslHandshake'],
  [18, 'ApiVersions'],
  [19, 'CreateTopics'],
  [20, 'DeleteTopics'],
  [21, 'DeleteRecords'],
  [22, 'InitProducerId'],
  [23, 'OffsetForLeaderEpoch'],
  [32, 'DescribeConfigs'],
  [33, 'AlterConfigs'],
  [35, 'DescribeLogDirs'],
  [36, 'SaslAuthenticate'],
  [37, 'CreatePartitions'],
  [42, 'DeleteGroups'],
  [44, 'IncrementalAlterConfigs'],
  [60, 'DescribeCluster'],
]

export const metricRows = {
  // Dispatcher: connections and requests
  connections: { name: 'connections', type: 'gauge', help: 'Open Kafka connections' },
  connectionsOpened: {
    name: 'connections_opened_total',
    type: 'counter',
    help: 'Kafka connections accepted since start',
  },
  connectionsRejected: {
    name: 'connections_rejected_total',
    type: 'counter',
    help: 'Kafka connections closed at once because a connection limit was reached',
  },
  connectionsDelayed: {
    name: 'connections_delayed_total',
    type: 'counter',
    help: 'Kafka connections that waited for their turn (max.connection.creation.rate)',
  },
  connectionsClosed: {
    name: 'connections_closed_total',
    type: 'counter',
    help: 'Kafka connections closed, by who or what ended them',
    label: { name: 'reason', values: ['client', 'protocol', 'idle', 'slow', 'error', 'shutdown'] },
  },
  framesRejected: {
    name: 'frames_rejected_total',
    type: 'counter',
    help: 'Frames refused before a handler saw them',
    label: { name: 'reason', values: ['size', 'malformed', 'unsupported', 'http'] },
  },
  requests: {
    name: 'requests_total',
    type: 'counter',
    help: 'Kafka requests received, by type',
    label: { name: 'api', values: [...apiNames.map(([, name]) => name), 'other'] },
  },
  requestSeconds: {
    name: 'request_seconds',
    type: 'histogram',
    help: 'Time from a whole request received to its answer handed to the socket',
    label: { name: 'api', values: ['Produce', 'Fetch', 'other'] },
  },
  requestsInFlight: {
    name: 'requests_in_flight',
    type: 'gauge',
    help: 'Kafka requests received and not answered yet',
  },
  bytesIn: {
    name: 'bytes_in_total',
    type: 'counter',
    help: 'Bytes received on Kafka connections',
  },
  bytesOut: { name: 'bytes_out_total', type: 'counter', help: 'Bytes sent on Kafka connections' },
  mutes: {
    name: 'mutes_total',
    type: 'counter',
    help: 'Times reading from a connection stopped, by what was full',
    label: { name: 'reason', values: ['arena', 'requests', 'responses'] },
  },
  producedRecords: {
    name: 'produced_records_total',
    type: 'counter',
    help: 'Records appended for producers',
  },
  producedBytes: {
    name: 'produced_bytes_total',
    type: 'counter',
    help: 'Bytes of record batches appended for producers, as stored',
  },
  produceErrors: {
    name: 'produce_errors_total',
    type: 'counter',
    help: 'Partitions of produce requests answered with an error',
  },
  fetchedRecords: {
    name: 'fetched_records_total',
    type: 'counter',
    help: 'Records sent to consumers',
  },
  fetchedBytes: {
    name: 'fetched_bytes_total',
    type: 'counter',
    help: 'Bytes of record batches sent to consumers',
  },
  fetchErrors: {
    name: 'fetch_errors_total',
    type: 'counter',
    help: 'Partitions of fetch requests answered with an error',
  },
  purgatorySize: {
    name: 'purgatory_size',
    type: 'gauge',
    help: 'Fetch requests waiting for more records',
  },
  purgatoryExpired: {
    name: 'purgatory_expired_total',
    type: 'counter',
    help: 'Waiting fetch requests answered because their time was up',
  },
  staleReplies: {
    name: 'stale_replies_total',
    type: 'counter',
    help: 'Replies of owner threads dropped because their request or region was of an older generation',
  },
  arenaBytes: {
    name: 'arena_bytes',
    type: 'gauge',
    help: 'Size of the shared arenas for request and response bytes',
    label: { name: 'arena', values: ['request', 'response'] },
  },
  arenaUsedBytes: {
    name: 'arena_used_bytes',
    type: 'gauge',
    help: 'Bytes of the arenas in use now',
    label: { name: 'arena', values: ['request', 'response'] },
  },
  // Dispatcher: partitions and owners
  topics: { name: 'topics', type: 'gauge', help: 'Topics' },
  partitions: {
    name: 'partitions',
    type: 'gauge',
    help: 'Partitions by state',
    label: { name: 'state', values: ['online', 'opening', 'offline', 'read-only'] },
  },
  ackedUnflushedRecords: {
    name: 'acked_unflushed_records',
    type: 'gauge',
    help: 'Records appended and not flushed yet: what a power failure now could take',
  },
  owners: { name: 'owners', type: 'gauge', help: 'Owner threads configured' },
  ownersUp: { name: 'owners_up', type: 'gauge', help: 'Owner threads serving' },
  ownerRestarts: {
    name: 'owner_restarts_total',
    type: 'counter',
    help: 'Owner threads replaced after a crash',
  },
  watchdogTerminations: {
    name: 'watchdog_terminations_total',
    type: 'counter',
    help: 'Owner threads ended because they burnt CPU without getting anywhere',
  },
  partitionsRecovered: {
    name: 'partitions_recovered_total',
    type: 'counter',
    help: 'Offline partitions that came back while the broker ran',
  },
  dataDirectoryOffline: {
    name: 'data_directory_offline',
    type: 'gauge',
    help: '1 when the disk failed under three partitions: none takes records any more',
  },
  diskFreeBytes: {
    name: 'disk_free_bytes',
    type: 'gauge',
    help: 'Free space of the file system that holds the data directory',
  },
  insecureListener: {
    name: 'insecure_listener',
    type: 'gauge',
    help: '1 when a listener on a non-loopback address runs without authentication (--insecure)',
  },
  httpRequests: {
    name: 'http_requests_total',
    type: 'counter',
    help: 'HTTP requests answered, by class of status',
    label: { name: 'status', values: ['2xx', '3xx', '4xx', '5xx'] },
  },
  consumerInstances: {
    name: 'http_consumer_instances',
    type: 'gauge',
    help: 'Consumer instances of HTTP that live now',
  },
  consumerInstancesIdle: {
    name: 'http_consumer_instances_idled_total',
    type: 'counter',
    help: 'Consumer instances of HTTP that nobody asked any more and that left their groups',
  },
  httpFastRequests: {
    name: 'http_fast_requests_total',
    type: 'counter',
    help: 'HTTP requests that the hot path answered (http.fast.path)',
  },
  httpFastPathShare: {
    name: 'http_fast_path_share',
    type: 'gauge',
    help: 'Part of all HTTP requests since start that the hot path answered, 0 to 1',
  },
  ...tailMetricRows,
  ...groupMetricRows,
  // Owners
  appends: { name: 'appends_total', type: 'counter', help: 'Batches appended by owner threads' },
  appendErrors: {
    name: 'append_errors_total',
    type: 'counter',
    help: 'Batches refused or not written by owner threads',
  },
  duplicateBatches: {
    name: 'duplicate_batches_total',
    type: 'counter',
    help: 'Batches of idempotent producers seen before, answered with their first offset',
  },
  reads: { name: 'reads_total', type: 'counter', help: 'Read commands served by owner threads' },
  readBytes: { name: 'read_bytes_total', type: 'counter', help: 'Bytes read from segment files' },
  coldReads: {
    name: 'cold_reads_total',
    type: 'counter',
    help: 'Read commands that waited until their bytes were in memory',
  },
  flushes: { name: 'flushes_total', type: 'counter', help: 'fdatasync calls finished' },
  flushFailures: {
    name: 'flush_failures_total',
    type: 'counter',
    help: 'Syncs, and writes with EIO, that failed; each takes a partition offline',
  },
  flushSeconds: { name: 'flush_seconds', type: 'histogram', help: 'Duration of fdatasync calls' },
  journalRounds: {
    name: 'journal_rounds_total',
    type: 'counter',
    help: 'Rounds of batches of many partitions that were written to a journal',
  },
  journalBytes: {
    name: 'journal_bytes_total',
    type: 'counter',
    help: 'Bytes written to journals',
  },
  journalFull: {
    name: 'journal_full_total',
    type: 'counter',
    help: 'Rounds that found no room in the journal, so that segments were flushed instead',
  },
  journalFailures: {
    name: 'journal_failures_total',
    type: 'counter',
    help: 'Journals that could not be made or failed, and are not used until a restart',
  },
  segmentsRolled: { name: 'segments_rolled_total', type: 'counter', help: 'Segments sealed' },
  logStartMoves: {
    name: 'log_start_moves_total',
    type: 'counter',
    help: 'Times the log start of a partition moved up: retention or DeleteRecords',
  },
  segmentsDeleted: {
    name: 'segments_deleted_total',
    type: 'counter',
    help: 'Segments removed because they lay below the log start',
  },
  segmentBytesDeleted: {
    name: 'segment_bytes_deleted_total',
    type: 'counter',
    help: 'Bytes of the segments removed because they lay below the log start',
  },
  retentionPaused: {
    name: 'retention_paused',
    type: 'gauge',
    help: 'Owner threads that delete nothing by age because the wall clock jumped',
  },
  diskFull: {
    name: 'disk_full_total',
    type: 'counter',
    help: 'Writes that failed because the disk or a quota was full',
  },
  recoveredBytes: {
    name: 'recovered_bytes_total',
    type: 'counter',
    help: 'Bytes of segment files that recovery had no proof of, and checked',
  },
  truncatedBytes: {
    name: 'truncated_bytes_total',
    type: 'counter',
    help: 'Bytes recovery cut off torn tails',
  },
  lostRanges: {
    name: 'lost_ranges_total',
    type: 'counter',
    help: 'Ranges of flushed records found to be rotten; a fetch there gets CORRUPT_MESSAGE',
  },
  compactions: {
    name: 'compactions_total',
    type: 'counter',
    help: 'Compaction passes over a log that came to their end',
  },
  compactionReadBytes: {
    name: 'compaction_read_bytes_total',
    type: 'counter',
    help: 'Bytes of segment files read by compaction',
  },
  compactionWrittenBytes: {
    name: 'compaction_written_bytes_total',
    type: 'counter',
    help: 'Bytes of segment files written by compaction',
  },
  compactedRecords: {
    name: 'compacted_records_total',
    type: 'counter',
    help: 'Records removed by compaction',
  },
  compactionFailures: {
    name: 'compaction_failures_total',
    type: 'counter',
    help: 'Compaction passes that failed; the log stays as it was',
  },
  uncleanableLogs: {
    name: 'uncleanable_logs',
    type: 'gauge',
    help: 'Logs whose compaction has failed several times in a row',
  },
  dirtyRatioMax: {
    name: 'dirty_ratio_max',
    type: 'gauge',
    help: 'Largest share of a log waiting for compaction, by thread',
    perThread: true,
  },
  scrubbedBytes: {
    name: 'scrubbed_bytes_total',
    type: 'counter',
    help: 'Bytes of segment files whose checksums the scrub computed',
  },
  scrubPasses: {
    name: 'scrub_passes_total',
    type: 'counter',
    help: 'Times an owner thread looked at all of its logs',
  },
  scrubFailures: {
    name: 'scrub_failures_total',
    type: 'counter',
    help: 'Segments the scrub could not read; they are looked at in the next pass',
  },
  // Every thread
  doorbells: {
    name: 'doorbells_total',
    type: 'counter',
    help: 'Times a sleeping thread was woken, by the thread that woke it',
    perThread: true,
  },
  busySeconds: {
    name: 'busy_seconds_total',
    type: 'counter',
    help: 'Time the event loop of a thread was not idle',
    perThread: true,
  },
  heapUsedBytes: {
    name: 'heap_used_bytes',
    type: 'gauge',
    help: 'JavaScript heap in use, by thread',
    perThread: true,
  },
} as const satisfies Record<string, MetricRow>
