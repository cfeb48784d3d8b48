/** Input and result of the task that unpacks the body of an HTTP request. Types only. */

export interface GunzipInput {
  readonly bytes: Uint8Array
  readonly bytesMax: number
}

/** Bytes in shared memory, so that nobody copies them again; or what is wrong with the body. */
export type Gunzipped =
  | { readonly bytes: Uint8Array }
  | { readonly isTooLarge: boolean; readonly message: string }
