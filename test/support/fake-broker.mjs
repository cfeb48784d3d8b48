// Stands in for src/main.ts in the tests of spawn-broker.ts: prints what FAKE_STDOUT says, then obeys FAKE_END.
import { writeSync } from 'node:fs'

process.on('SIGTERM', () => process.exit(Number(process.env.FAKE_EXIT_CODE ?? 0)))
setInterval(() => {}, 1000)
writeSync(2, `arguments: ${JSON.stringify(process.argv.slice(2))}\n`)
writeSync(1, process.env.FAKE_STDOUT ?? '')
if (process.env.FAKE_END === 'exit') process.exit(1)
