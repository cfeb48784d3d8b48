/** Why a data directory cannot be used. The message is one line for the operator: culprit and cure. */
export class DataDirectoryError extends Error {
  override name = 'DataDirectoryError'
}
