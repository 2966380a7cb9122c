import { sseWire, transportConformance, websocketWire } from '@turnpike/testkit'
import { serve } from './server.ts'

transportConformance({ serve, wires: [websocketWire, sseWire] })
