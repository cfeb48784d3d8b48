import { compatibilityOf } from './run-client.ts'

compatibilityOf('java-3.9')
