import { compatibilityOf } from './run-client.ts'

compatibilityOf('platformatic')
