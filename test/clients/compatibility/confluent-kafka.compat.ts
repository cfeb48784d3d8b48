import { compatibilityOf } from './run-client.ts'

compatibilityOf('confluent-kafka')
