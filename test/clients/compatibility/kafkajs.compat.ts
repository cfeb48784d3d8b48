import { compatibilityOf } from './run-client.ts'

compatibilityOf('kafkajs')
