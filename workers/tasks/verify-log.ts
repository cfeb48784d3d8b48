/** Task: checks one log directory offline (`odradek log verify`). Pool thread; reads only. */
import type { VerifyInput, VerifyReport } from '../../src/contracts/verify.ts'
import { realDisk } from '../disk.ts'
import { verifyLog } from '../log/verify-log.ts'

export default function verify(input: VerifyInput): VerifyReport {
  return verifyLog(realDisk, input)
}
