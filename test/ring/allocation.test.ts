/** Nothing that runs per request allocates: a collector with nothing to collect never stops a thread. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('ring, commands, doorbell, offset table and arena allocate nothing per call', () => {
  const probe = fileURLToPath(new URL('./allocation-probe.ts', import.meta.url))
  const flags = [
    '--min-semi-space-size=256',
    '--max-semi-space-size=256',
    // Compiled at the same call in every run, however busy the machine is.
    '--no-concurrent-recompilation',
  ]
  const output = execFileSync(process.execPath, [...flags, probe], { encoding: 'utf8' })
  const { bytesPerCall } = JSON.parse(output) as { bytesPerCall: Record<string, number> }
  expect(Object.keys(bytesPerCall)).toHaveLength(6)
  for (const [name, bytes] of Object.entries(bytesPerCall)) {
    // One object or boxed number a call would be 16 bytes.
    expect(bytes, name).toBeLessThan(1)
    expect(bytes, `${name} was collected`).toBeGreaterThanOrEqual(0)
  }
})
