/**
 * The words in which a message is declared (messages/*.ts): one object per API is its grammar, its TypeScript types and
 * its four codecs (compile.ts). Any thread; plain data.
 *
 *   name: since(12, nullable(string))    present from version 12, may be null; older versions read as null
 *   errorCode: tagged(0, int16)          in the tag section of flexible versions; left out when it has its default
 *
 * All versions of a message share one shape: a field absent in a version reads as its default.
 */

/** Reader and Writer methods by the name of the wire type. */
export type WireType =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records'
  | 'array'
  | 'struct'

export interface Field<T> {
  readonly type: WireType
  /** What a version without the field reads; a tagged field with this value is not written. */
  readonly absent: T
  /** First and last version that have the field. */
  readonly from: number
  readonly to: number
  /** First version in which null is allowed; Infinity when none. */
  readonly nullableFrom: number
  /** -1: an ordinary field. */
  readonly tag: number
  /** Of an array. */
  readonly element: Field<unknown> | null
  /** Of a struct. */
  readonly fields: Fields | null
}
export interface Fields {
  readonly [name: string]: Field<unknown>
}
export type Value<F> = F extends Field<infer T> ? T : never
export type Struct<S> = { -readonly [K in keyof S]: Value<S[K]> }

function scalar<T>(type: WireType, absent: T): Field<T> {
  return {
    type,
    absent,
    from: 0,
    to: Infinity,
    nullableFrom: Infinity,
    tag: -1,
    element: null,
    fields: null,
  }
}

export const bool: Field<boolean> = scalar('bool', false)
export const int8: Field<number> = scalar('int8', 0)
export const int16: Field<number> = scalar('int16', 0)
export const int32: Field<number> = scalar('int32', 0)
/** A number: the Reader refuses values beyond 2^53. */
export const int64: Field<number> = scalar('int64', 0)
/** 22 characters of base64url; the zero uuid stands for none. */
export const uuid: Field<string> = scalar('uuid', 'AAAAAAAAAAAAAAAAAAAAAA')
export const string: Field<string> = scalar('string', '')
/** Read as a view of the frame, not a copy. */
export const bytes: Field<Uint8Array> = scalar('bytes', new Uint8Array(0))
/** Record batches: read as a view of the frame; written by reference when large. */
const records: Field<Uint8Array> = scalar('records', new Uint8Array(0))

/** May be null, from version `from` on. */
export function nullable<T>(field: Field<T>, from = 0): Field<T | null> {
  return { ...field, absent: null, nullableFrom: from }
}
export const nullableString: Field<string | null> = nullable(string)
export const nullableRecords: Field<Uint8Array | null> = nullable(records)

/** Several of a scalar, or of a struct given by its fields. */
export function array<T>(element: Field<T>): Field<T[]>
export function array<S extends Fields>(element: S): Field<Struct<S>[]>
export function array(element: Field<unknown> | Fields): Field<unknown[]> {
  const field = isField(element) ? element : { ...scalar('struct', null), fields: element }
  return { ...scalar<unknown[]>('array', []), element: field }
}
export function nullableArray<T>(element: Field<T>, from?: number): Field<T[] | null>
export function nullableArray<S extends Fields>(
  element: S,
  from?: number,
): Field<Struct<S>[] | null>
export function nullableArray(element: Field<unknown> | Fields, from = 0): Field<unknown[] | null> {
  return nullable(isField(element) ? array(element) : array(element), from)
}

/** A single struct. Kafka has them only as tagged fields here; null stands for the default, which is not sent. */
export function struct<S extends Fields>(fields: S): Field<Struct<S> | null> {
  return { ...scalar<Struct<S> | null>('struct', null), fields }
}

function isField(value: Field<unknown> | Fields): value is Field<unknown> {
  return typeof value.type === 'string'
}

/** Present from version `from` on. */
export function since<T>(from: number, field: Field<T>, absent: T = field.absent): Field<T> {
  return { ...field, from, absent }
}
/** Present up to and including version `to`. */
export function until<T>(to: number, field: Field<T>, absent: T = field.absent): Field<T> {
  return { ...field, to, absent }
}
/** Present from version `from` to version `to`, both included. */
export function between<T>(
  from: number,
  to: number,
  field: Field<T>,
  absent: T = field.absent,
): Field<T> {
  return { ...field, from, to, absent }
}
/** In the tag section (KIP-482), which is written in the order of the tags whatever the order here. */
export function tagged<T>(tag: number, field: Field<T>, absent: T = field.absent): Field<T> {
  return { ...field, tag, absent }
}

export interface ApiSchema<Request, Response> {
  readonly name: string
  readonly key: number
  /** Oldest and newest version the schema covers. */
  readonly versions: readonly [min: number, max: number]
  /** First flexible version (KIP-482); Infinity when there is none. */
  readonly flexible: number
  readonly request: Fields
  readonly response: Fields
  /** Carries the types; never there at run time. */
  types?(request: Request, response: Response): void
}

export interface ApiDeclaration<Req extends Fields, Res extends Fields> {
  readonly name: string
  readonly key: number
  readonly versions: readonly [min: number, max: number]
  readonly flexible?: number
  readonly request: Req
  readonly response: Res
}

export function api<Req extends Fields, Res extends Fields>(
  declaration: ApiDeclaration<Req, Res>,
): ApiSchema<Struct<Req>, Struct<Res>> {
  return { flexible: Infinity, ...declaration }
}

type AnySchema = ApiSchema<never, never>
export type RequestOf<A extends AnySchema> = A extends ApiSchema<infer Req, infer _> ? Req : never
export type ResponseOf<A extends AnySchema> = A extends ApiSchema<infer _, infer Res> ? Res : never
