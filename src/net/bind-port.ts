/** What a user is told when a listener cannot have its port. Dispatcher thread. */

/** Calls `bind`; turns the system's word on a port into one that names the flag. */
export async function bindPort<T>(flag: 'kafka' | 'http', bind: () => Promise<T>): Promise<T> {
  try {
    return await bind()
  } catch (error) {
    const { code, message, port, address } = error as NodeJS.ErrnoException & {
      port?: number
      address?: string
    }
    const where = `${address ?? ''}:${port ?? ''}`
    if (code === 'EADDRINUSE') {
      throw new Error(
        `${where} is in use: stop the server that has it, or choose another port with --${flag} HOST:PORT`,
        { cause: error },
      )
    }
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new Error(`cannot listen on ${where} (${message}): choose another with --${flag}`, {
        cause: error,
      })
    }
    throw error
  }
}
