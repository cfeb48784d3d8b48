import { compatibilityOf } from './run-client.ts'

compatibilityOf('kcat')
