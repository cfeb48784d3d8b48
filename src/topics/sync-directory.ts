/** Makes created, renamed and removed names of a directory durable. */
import { open } from 'node:fs/promises'

/** fsync of a directory. Windows cannot and need not: its names are journalled. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
