import { compatibilityOf } from './run-client.ts'

compatibilityOf('kafka-python-3')
