/**
 * `node test/http/fast/fuzz.ts [count] [seed]`: odd requests to the hot path's parser and to node's own, for as long as
 * one has time. Ends with code 1 at the first one that they read differently.
 */
import { Random } from '../../sim/world/random.ts'
import { oddRequests } from './odd-requests.ts'
import { disagreement, fastReading, NodeReader } from './readings.ts'

const [countText = '1000000', seedText = String(Math.floor(Math.random() * 1e9))] =
  process.argv.slice(2)
const node = new NodeReader()
const random = new Random(Number(seedText))
let taken = 0
let partly = 0
for (let round = 0; round < Number(countText); round++) {
  const bytes = oddRequests(random)
  const requests = fastReading(bytes).length
  taken += requests
  const why = await disagreement(bytes, node)
  if (why !== null) {
    console.error(
      `seed ${seedText}, round ${round}: ${why}\n${JSON.stringify(bytes.toString('latin1'))}`,
    )
    process.exitCode = 1
    break
  }
  if (requests > 0) partly++
}
console.log(`seed ${seedText}: ${countText} inputs, ${partly} begin well, ${taken} requests taken`)
node.close()
