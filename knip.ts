/** What knip takes for an entry: `npm run lint:unused` finds files, exports and packages that nothing uses. */
import type { KnipConfig } from 'knip'

const config: KnipConfig = {
  project: ['{src,workers,bench,test,config}/**/*.{ts,mjs}'],
  entry: [
    // Threads, named in src/worker-url.ts.
    'src/broker-thread/broker-thread.ts',
    'workers/{partition-owner,tasks/*}.ts',
    // Programs that others start by their path.
    'bench/{floor,discard}-server.ts',
    'bench/*-probe.ts',
    'src/load/{wire,http}-generator.ts',
    'test/clients/compatibility/{main,fetch,*-calls}.ts',
    'test/http/tasks/*.ts',
    'test/kafka-tools/fetch.ts',
  ],
  vitest: {
    config: [
      'vitest.config.ts',
      'vitest.long.config.ts',
      'test/clients/compatibility/vitest.config.ts',
    ],
  },
  // A type may be part of what its file exports. Values that only their own file uses need no export.
  ignoreExportsUsedInFile: { interface: true, type: true },
  ignoreDependencies: [
    // Loaded by require, because it may be missing: src/protocol/crc32c.ts.
    '@node-rs/crc32',
    // Of test/clients/package.json.
    '@platformatic/kafka',
  ],
  ignoreBinaries: ['java', 'javac', 'kcat', 'mount', 'strace', 'umount'],
}

export default config
