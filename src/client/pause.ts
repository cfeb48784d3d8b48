/** A wait that can be ended early. */
export class Pause {
  #end: (() => void) | null = null

  /** Resolves after `delayMs`, or at the next `end()`. One wait at a time. */
  wait(delayMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(() => this.end(), delayMs)
      this.#end = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  end(): void {
    const end = this.#end
    this.#end = null
    end?.()
  }
}
