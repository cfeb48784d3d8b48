/** The command line without a broker: help, refusals, exit codes. */
import { describe, expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { type CliOptions, runCli } from './run-cli.ts'

describe('help', () => {
  test.each([
    ['--help', 'start'],
    ['start --help', '--data-dir'],
    ['topics --help', 'describe'],
    ['topics create --help', '--partitions'],
    ['topics list --help', '--json'],
    ['topics describe --help', '--json'],
    ['topics alter --help', '--delete-config'],
    ['topics delete --help', '--bootstrap'],
    ['produce --help', '--key-separator'],
    ['consume --help', '--exit-at-end'],
    ['groups --help', 'reset'],
    ['groups list --help', '--state'],
    ['groups describe --help', '--timeline'],
    ['groups reset --help', '--shift-by'],
    ['groups delete --help', '--admin'],
    ['log --help', 'dump'],
    ['log dump --help', '--records'],
    ['status --help', '--watch'],
  ])('odradek %s names %s and has an example', async (args, expected) => {
    const { code, stdout, stderr } = await runCli(args.split(' '))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(String(stdout)).toContain(expected)
    expect(String(stdout)).toMatch(/\nExamples?:\n.*odradek /)
    expect(String(stdout)).not.toMatch(/--zookeeper|--dispatchers/)
  })

  test('the version is that of the package', async () => {
    const { code, stdout } = await runCli(['--version'])
    expect(code).toBe(0)
    expect(String(stdout)).toMatch(/^\d+\.\d+\.\d+\S*\n$/)
  })
})

describe('what is asked wrongly', () => {
  test.each([
    ['start --zookeeper 127.0.0.1:2181', '--zookeeper is not there yet'],
    ['start --dispatchers 2', '--dispatchers is not there yet'],
    ['start --adopt /does/not/exist.yaml', '--adopt /does/not/exist.yaml'],
    ['groups list --state Idle', 'There is no state Idle; states are Empty,'],
    ['groups describe', "missing required argument 'group'"],
    ['groups reset g --to earliest', 'give either --topic TOPIC[:P,P] or --all-topics'],
    ['groups reset g --all-topics --topic t --to latest', 'give either --topic'],
    ['groups reset g --topic t', 'give either --to earliest|latest|OFFSET|ISO-TIME or --shift-by'],
    ['groups reset g --topic t --to 1 --shift-by 1', 'give either --to'],
    ['groups reset g --topic t --to yesterday', '--to yesterday: it must be earliest'],
    ['groups reset g --topic t: --to 1', '--topic t:: it must be TOPIC or TOPIC:P,P'],
    ['groups reset g --topic t:1-2 --to 1', '--topic t:1-2: it must be TOPIC or TOPIC:P,P'],
    ['groups reset g --topic t --shift-by 1.5', 'It must be a whole number, negative'],
    ['groups delete', "missing required argument 'group'"],
    ['topics list --admin 127.0.0.1:8082', 'It must be a URL, as in http://127.0.0.1:8082'],
    ['workers show --json', 'workers is not there yet'],
    ['status --watch 1', 'too many arguments'],
    ['status --admin nowhere', 'It must be a URL'],
    ['log dump x.txt', 'not a .log, .index or .timeindex file'],
    ['bogus', "unknown command 'bogus'"],
    ['consume', "missing required argument 'topic'"],
    ['produce t --nonsense', "unknown option '--nonsense'"],
    ['topics list --bootstrap a:b:c', 'It must be HOST:PORT'],
    ['topics create t --config nonsense', 'It must be KEY=VALUE'],
    ['topics alter t', 'nothing to change: give --config, --delete-config or --partitions'],
    ['topics alter t --config a=1 --delete-config a', 'a is given to both'],
    ['topics alter t --config nonsense', 'It must be KEY=VALUE'],
    ['start --set no.such.key=1', 'no.such.key'],
    ['start --workers many', 'many'],
    ['start --config /does/not/exist.yaml', '/does/not/exist.yaml'],
    ['start --kafka 0.0.0.0:9092', '--insecure'],
  ])('odradek %s: exit 2 and one line', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args.split(' '))
    expect(stderr).toMatch(/^odradek: .*\n$/)
    expect(stderr).toContain(message)
    expect({ code, stdout: String(stdout) }).toEqual({ code: 2, stdout: '' })
  })

  test.each(['topics list', 'groups list', 'produce t', 'consume t'])(
    'odradek %s without a broker: exit 1, and how to start one',
    async command => {
      const bootstrap = `127.0.0.1:${await freePort()}`
      const { code, stderr } = await runCli([...command.split(' '), '--bootstrap', bootstrap])
      expect(stderr).toMatch(/^odradek: no broker reached at .*odradek start.*\n$/)
      expect(code).toBe(1)
    },
  )

  test('a file that is not there: exit 1', async () => {
    const { code, stderr } = await runCli(['log', 'dump', '/does/not/exist.log'])
    expect(stderr).toBe('odradek: /does/not/exist.log: there is no such file\n')
    expect(code).toBe(1)
  })
})

describe('an old Node', () => {
  /** Makes the process believe that it runs on `version`, before main.ts is loaded. */
  const pretend = (version: string): CliOptions => {
    const script = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`
    return { nodeArgs: ['--import', `data:text/javascript,${encodeURIComponent(script)}`] }
  }

  test.each(['20.19.0', '22.17.1', '23.11.0'])(
    '%s is refused with what is needed',
    async version => {
      const { code, stderr } = await runCli(['--version'], pretend(version))
      expect(stderr).toMatch(/^odradek: needs Node 22\.18 or newer, this is .*\n$/)
      expect(code).toBe(1)
    },
  )

  test.each(['22.18.0', '24.0.0', '26.1.0'])('%s is taken', async version => {
    expect(await runCli(['--version'], pretend(version))).toMatchObject({ code: 0, stderr: '' })
  })
})
