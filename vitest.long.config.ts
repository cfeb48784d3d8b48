/** `npm run test:long`: what `npm test` leaves out. Same settings, same environment variables. */
import { defineConfig } from 'vitest/config'
import base, { longTests } from './vitest.config.ts'

export default defineConfig({ test: { ...base.test, include: longTests, exclude: [] } })
