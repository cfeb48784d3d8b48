/** A task that makes its thread less urgent, if asked, and says how urgent it is. */
import { getPriority } from 'node:os'
import { beBackground } from '../../../workers/background.ts'

export default function niceness({ yields }: { readonly yields: boolean }): number {
  if (yields) beBackground()
  return getPriority()
}
