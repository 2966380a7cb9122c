import { MemoryLog } from '@turnpike/gateway/memory-log'
import { logConformance } from '@turnpike/testkit'

logConformance({ name: 'memory', open: (options) => Promise.resolve(new MemoryLog(options)) })
