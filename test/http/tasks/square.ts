/** A task for the pool's tests: gives back what it was asked, and which thread did it. */
import { threadId } from 'node:worker_threads'

export default function square(input: { readonly n: number; readonly shared?: SharedArrayBuffer }) {
  if (input.shared) new Int32Array(input.shared)[0] = input.n
  return { square: input.n * input.n, threadId }
}
