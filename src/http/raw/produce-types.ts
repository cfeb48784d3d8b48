/**
 * Who takes the body of `POST /topics/{topic}` and `POST /topics/{topic}/partitions/{partition}`: the content type
 * decides. Raw types are the ones of raw-produce.ts; the REST Proxy adds its own. Dispatcher thread.
 *
 * Bodies arrive here whole, counted and, if they came with Content-Encoding: gzip, unpacked.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ZodType } from 'zod'

/** Largest body, as sent and unpacked. */
export const bodyBytesMaxDefault = 16 * 1024 * 1024

export interface ProduceTarget {
  /** As named in the path, percent-decoded, not looked up yet. */
  readonly topic: string
  /** Of the path; null when it names none. */
  readonly partition: number | null
}

export interface ProduceType {
  /** As `application/x-ndjson`: lower case, no parameters. */
  readonly mediaType: string
  /** How it is written in a Content-Type header, when that has parameters that must be there. */
  readonly contentType?: string
  /** For the OpenAPI document. */
  readonly description: string
  /** Of the body, for the OpenAPI document. */
  readonly schema?: ZodType
  /** Default: `bodyBytesMaxDefault`. */
  readonly bodyBytesMax?: number
  /**
   * Answers the request: returns what is sent, or sends it by `reply`. Throws HttpProblem.
   * @param body not null, may be empty
   */
  handle(
    request: FastifyRequest,
    reply: FastifyReply,
    target: ProduceTarget,
    body: Buffer,
  ): Promise<unknown>
}

export class ProduceTypes {
  readonly #types = new Map<string, ProduceType>()

  add(type: ProduceType): void {
    this.#types.set(type.mediaType, type)
  }

  get(mediaType: string): ProduceType | undefined {
    return this.#types.get(mediaType)
  }

  all(): readonly ProduceType[] {
    return [...this.#types.values()]
  }
}

/** @returns the media type of a Content-Type header in lower case, without parameters; '' when there is none */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return ''
  const end = contentType.indexOf(';')
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
}
