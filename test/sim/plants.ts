export interface Plant { readonly name: string; readonly edits: readonly { readonly file: string; readonly find: string; readonly replace: string }[] }
export const plants: readonly Plant[] = []
