/** Reader and Writer of Kafka's primitive types, under one name. Any thread. See reader.ts and writer.ts. */
export { ProtocolError, Reader, zeroUuid } from './reader.ts'
export { Writer } from './writer.ts'
