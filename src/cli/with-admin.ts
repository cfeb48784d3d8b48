/** The frame of commands that ask a broker about topics and groups: connect, work, close. */
import type { Admin } from '../client/admin.ts'
import type { ClientFlags } from './program.ts'

export async function withAdmin<Flags extends ClientFlags>(
  flags: Flags,
  work: (admin: Admin, flags: Flags) => Promise<void>,
): Promise<void> {
  const { Admin } = await import('../client/admin.ts')
  const { reachable } = await import('./reachable.ts')
  const admin = new Admin({ bootstrap: flags.bootstrap, clientId: 'odradek-admin' })
  try {
    await reachable(flags.bootstrap, () => admin.connect())
    await work(admin, flags)
  } finally {
    await admin.close()
  }
}
