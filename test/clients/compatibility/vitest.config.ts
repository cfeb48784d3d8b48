/** `npm run compatibility`: each file is one client with brokers of its own. Not part of `npm test`. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/clients/compatibility/*.compat.ts'],
    pool: 'forks',
    maxWorkers: 2,
    hookTimeout: 120_000,
    reporters: ['verbose'],
  },
})
