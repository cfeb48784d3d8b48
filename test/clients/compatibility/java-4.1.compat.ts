import { compatibilityOf } from './run-client.ts'

compatibilityOf('java-4.1')
