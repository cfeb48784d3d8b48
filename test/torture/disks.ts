/**
 * Real file systems to break: ext4 on a loop device, and tmpfs. Linux and root only. Everything is mounted below the
 * directory of a run and unmounted at its end.
 *
 *   LoopDisk   image file (in /dev/shm: fast, and gone with the machine) -> loop device -> ext4
 *   powerCut   EXT4_IOC_SHUTDOWN, without flushing the journal: from now on nothing reaches the image, every write and
 *              sync fails; after unmounting and mounting, what was not synced is gone
 */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { findCommand } from '../support/requires.ts'
import { fileNeed, type Need, rootNeed, type TortureRun } from './scenario.ts'
import { commandNeed, sh, tryTo } from './shell.ts'

const memoryDirectory = '/dev/shm'

export interface LoopDiskOptions {
  readonly sizeMiB: number
  /**
   * For images on a disk that is too small for them. Without a journal a sync writes in place. Extents are off and
   * requests cut to one page, because only so do failing syncs tell the truth here: a request of several pages that the
   * image takes in part counts as done (the loop driver), and a node of extents that is not written is not reported.
   */
  readonly isOvercommitted?: boolean
  /** Where the image lies; /dev/shm. */
  readonly imageDirectory?: string
}

export class LoopDisk {
  readonly mountPoint: string
  readonly #image: string
  readonly #isOvercommitted: boolean
  #isMounted = false

  private constructor(image: string, mountPoint: string, isOvercommitted: boolean) {
    this.#image = image
    this.mountPoint = mountPoint
    this.#isOvercommitted = isOvercommitted
  }

  /** Makes the file system and mounts it. */
  static create(run: TortureRun, name: string, options: LoopDiskOptions): LoopDisk {
    const own = options.imageDirectory ?? mkdtempSync(join(memoryDirectory, 'odradek-torture-'))
    const image = join(own, `${name}.img`)
    const mountPoint = join(run.directory, name)
    if (options.imageDirectory === undefined) {
      run.onEnd(keepFiles => {
        if (!keepFiles) rmSync(own, { recursive: true, force: true })
        else process.stderr.write(`torture: the disk's image is kept as ${image}\n`)
      })
    }
    mkdirSync(mountPoint)
    writeFileSync(image, '')
    truncateSync(image, options.sizeMiB * 1024 * 1024)
    const isOvercommitted = options.isOvercommitted === true
    const features = isOvercommitted ? ['-O', '^has_journal,^extent,^64bit'] : []
    // Nothing may be left to be initialised behind our back.
    const eager = 'lazy_itable_init=0,lazy_journal_init=0'
    sh('mkfs.ext4', '-q', '-F', '-b', '4096', ...features, '-E', eager, image)
    const disk = new LoopDisk(image, mountPoint, isOvercommitted)
    run.onEnd(() => disk.unmount())
    disk.mount()
    return disk
  }

  mount(): void {
    sh('mount', '-o', 'loop,errors=remount-ro', this.#image, this.mountPoint)
    this.#isMounted = true
    if (!this.#isOvercommitted) return
    writeFileSync(`/sys/block/${basename(this.#device())}/queue/max_sectors_kb`, '4')
  }

  /** Waits for files that a dying process still holds. */
  unmount(): void {
    if (!this.#isMounted) return
    this.#isMounted = false
    for (let attempt = 0; attempt < 50; attempt++) {
      if (tryTo('umount', this.mountPoint)) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    }
    sh('umount', '--lazy', this.mountPoint)
    throw new Error(`${this.mountPoint} stayed busy: something still holds its files`)
  }

  /** As if the plug were pulled: whatever was not synced never reaches the image. */
  powerCut(): void {
    const { command, script } = ioctlTool()
    sh(command, ...script, this.mountPoint)
  }

  /** What ext4 does by itself after an error, if mounted so; everything written until now is synced first. */
  becomeReadOnly(): void {
    sh('sync', '--file-system', this.mountPoint)
    writeFileSync(`/sys/fs/ext4/${basename(this.#device())}/trigger_fs_error`, '1')
  }

  /** Only while it is not mounted. Exit code 1 means that there was something to repair. */
  repair(): void {
    if (!tryTo('e2fsck', '-f', '-p', this.#image)) tryTo('e2fsck', '-f', '-y', this.#image)
  }

  /** Unmounts it, and with that forgets it. */
  remove(): void {
    this.unmount()
    rmdirSync(this.mountPoint)
  }

  #device(): string {
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
    const line = mounts.find(one => one.split(' ')[1] === this.mountPoint)
    if (line === undefined) throw new Error(`${this.mountPoint} is not mounted`)
    return line.split(' ')[0]
  }
}

export const loopNeeds = (): readonly Need[] => [
  rootNeed(),
  fileNeed('/dev/loop-control', 'modprobe loop, or run where loop devices are allowed'),
  fileNeed(memoryDirectory, 'mount a tmpfs there'),
  commandNeed('mkfs.ext4', 'e2fsprogs'),
  commandNeed('mount'),
]

export const ioctlNeed = (): Need => ({
  isThere: findCommand('python3') !== null || findCommand('perl') !== null,
  missing: 'neither python3 nor perl is installed, one of which calls the ioctl of the power cut',
  cure: 'apt-get install perl-base',
  isInstallable: true,
})

/** Node has no ioctl. The number is EXT4_IOC_SHUTDOWN, the argument EXT4_GOING_FLAGS_NOLOGFLUSH. */
function ioctlTool(): { command: string; script: readonly string[] } {
  const perl =
    'sysopen(my $dir, $ARGV[0], 0) or die "open: $!";' +
    'my $flags = pack("I", 2); defined(ioctl($dir, 0x8004587D, $flags)) or die "ioctl: $!"'
  if (findCommand('perl') !== null) return { command: 'perl', script: ['-e', perl] }
  const python =
    'import fcntl, os, struct, sys;' +
    'fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))'
  return { command: 'python3', script: ['-c', python] }
}

/** A file system in memory, as small as a test wants it. */
export class SmallDisk {
  readonly mountPoint: string
  #isMounted = true

  private constructor(mountPoint: string) {
    this.mountPoint = mountPoint
  }

  static create(
    run: TortureRun,
    name: string,
    options: { readonly sizeBytes: number; readonly inodes?: number },
  ): SmallDisk {
    const mountPoint = join(run.directory, name)
    mkdirSync(mountPoint)
    const inodes = options.inodes === undefined ? '' : `,nr_inodes=${options.inodes}`
    sh('mount', '-t', 'tmpfs', '-o', `size=${options.sizeBytes}${inodes}`, 'tmpfs', mountPoint)
    const disk = new SmallDisk(mountPoint)
    run.onEnd(() => disk.remove())
    return disk
  }

  /** Unmounts it, and with that forgets it. */
  remove(): void {
    if (!this.#isMounted) return
    this.#isMounted = false
    if (!tryTo('umount', this.mountPoint)) sh('umount', '--lazy', this.mountPoint)
    rmdirSync(this.mountPoint)
  }

  /** Gives it more room, or more inodes. */
  resize(options: string): void {
    sh('mount', '-o', `remount,${options}`, this.mountPoint)
  }
}
