import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { GatewayError } from '@turnpike/protocol'
import type { Hono } from 'hono'
import { meets } from '../access/access.ts'
import { EXPOSITION_TYPE, expositionOf } from '../telemetry/exposition.ts'
import type { Gateway } from '../gateway.ts'
import { Gauge } from '../telemetry/instruments.ts'
import { type Env, principalOf } from './http-input.ts'

/** What numbers about everybody take, where anybody has to authenticate. */
const READER = { permissions: ['metrics'] }

/** How often the event loop is asked whether it comes in time. */
const RESOLUTION_MS = 20

/** Adds `GET /metrics` in the text format of Prometheus; returns what ends its measuring of the event loop. */
export function addMetrics(app: Hono<Env>, gateway: Gateway): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  const gauges = [...gatewayGauges(gateway), ...processGauges(delay)]
  app.get('/metrics', async (c) => {
    const principal = await principalOf(c, gateway)
    if (gateway.admission.isRequired && !meets(principal, READER)) {
      throw new GatewayError('forbidden', 'You may not do this.')
    }
    const text = expositionOf([...gauges, ...gateway.metrics.instruments])
    // What comes next is told next time.
    delay.reset()
    return c.body(text, 200, { 'content-type': EXPOSITION_TYPE, 'cache-control': 'no-store' })
  })
  return () => delay.disable()
}

function gatewayGauges(gateway: Gateway): readonly Gauge[] {
  return [
    new Gauge({
      name: 'turnpike_connections',
      help: 'Open connections and event streams.',
      samples: () =>
        [...gateway.countConnections()].flatMap(([wire, { all, authenticated }]) => [
          { labels: { wire, authenticated: 'true' }, value: authenticated },
          { labels: { wire, authenticated: 'false' }, value: all - authenticated },
        ]),
    }),
    new Gauge({
      name: 'turnpike_runs_open',
      help: 'Runs that have not ended: in progress, waiting for their turn, waiting for an approval.',
      samples: () =>
        Object.entries(gateway.runs.count()).map(([state, value]) => ({ labels: { state }, value })),
    }),
  ]
}

/** Under the names that dashboards for Node know. */
function processGauges(delay: IntervalHistogram): readonly Gauge[] {
  const secondsAt = (percentile: number): number =>
    Math.max(0, delay.percentile(percentile) / 1e9 - RESOLUTION_MS / 1e3)
  const gauge = (name: string, help: string, value: () => number): Gauge =>
    new Gauge({ name, help, samples: () => [{ value: value() }] })
  return [
    gauge('nodejs_eventloop_lag_p50_seconds', 'Lateness of the event loop since the last look, median.', () =>
      secondsAt(50),
    ),
    gauge('nodejs_eventloop_lag_p99_seconds', 'Lateness of the event loop since the last look.', () =>
      secondsAt(99),
    ),
    gauge('nodejs_heap_size_used_bytes', 'Heap in use.', () => process.memoryUsage().heapUsed),
    gauge(
      'nodejs_heap_size_total_bytes',
      'Heap taken from the system.',
      () => process.memoryUsage().heapTotal,
    ),
    gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss()),
  ]
}
