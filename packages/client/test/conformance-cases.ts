/** What becomes of one attempt to connect. */
export type ConnectFault = 'none' | 'refuse' | 'busy' | 'unauthorized' | 'forbidden' | 'silence'

/** What happens when the event of that `seq` is first about to be sent. */
export interface EventFault {
  readonly seq: number
  readonly then: 'drop' | 'silence' | 'truncate' | 'twice' | 'late' | 'lose' | 'unknown' | 'goodbye' | 'lag'
  /** What the server does before anybody is back. */
  readonly meanwhile?: 'expire' | 'forget' | 'rewrite'
}

/** What becomes of one message that is sent. */
export type SendFault = 'none' | 'unheard' | 'unanswered' | 'busy'

/** What a server does wrong, as data: it travels to the server as JSON. */
export interface FaultPlan {
  /** One an attempt; after the last all goes well. */
  readonly connects?: readonly ConnectFault[]
  readonly events?: readonly EventFault[]
  readonly sends?: readonly SendFault[]
  /** No WebSocket ever opens; HTTP works. */
  readonly blockWebSocket?: boolean
}

/** What a client has to do under a plan. */
export interface ConformanceCase {
  readonly title: string
  readonly plan: FaultPlan
  /** The user closes the client while it connects. */
  readonly act?: 'close'
  /** The causes of the resets it is told of. @default none */
  readonly resets?: readonly string[]
  /** Connections the server sees at least. @default 1 */
  readonly connects?: number
  /** A delay it announces before an attempt is at least so long. */
  readonly delayMs?: number
  /** The code it ends with. @default none */
  readonly error?: string
  /** Tokens it asks for. */
  readonly tokens?: number
  /** The ticket it comes back with, where the wire has goodbyes. */
  readonly ticket?: string
  /** The wire it ends up with. */
  readonly wire?: string
}

/** Of "count to 6", the events that a reader without reasoning gets to see. */
const VISIBLE = [1, 2, 4, 5, 7, 8]

/** What every client of the gateway has to keep, over every wire. */
export const CONFORMANCE: readonly ConformanceCase[] = [
  { title: 'all goes well', plan: {} },
  ...VISIBLE.map((seq) => ({
    title: `the connection drops before event ${seq}`,
    plan: { events: [{ seq, then: 'drop' as const }] },
    connects: 2,
  })),
  {
    title: 'the connection drops at every event',
    plan: { events: VISIBLE.map((seq) => ({ seq, then: 'drop' as const })) },
    connects: 7,
  },
  // A browser may say a POST again by itself.
  { title: 'the connection drops before a message is heard', plan: { sends: ['unheard'] } },
  {
    title: 'the connection drops before a message is answered',
    plan: { sends: ['unanswered'] },
  },
  {
    title: 'no answer comes three times',
    plan: { sends: ['unanswered', 'unheard', 'unanswered'] },
  },
  { title: 'the server is too busy for a message at first', plan: { sends: ['busy'] } },
  { title: 'a token is refused once', plan: { connects: ['unauthorized'] }, connects: 2, tokens: 2 },
  {
    title: 'the token is refused when coming back',
    plan: { connects: ['none', 'unauthorized'], events: [{ seq: 4, then: 'drop' }] },
    connects: 3,
    tokens: 2,
  },
  {
    title: 'a fresh token is refused, too',
    plan: { connects: ['unauthorized', 'unauthorized'] },
    connects: 2,
    tokens: 2,
    error: 'unauthorized',
  },
  { title: 'the server forbids it', plan: { connects: ['forbidden'] }, error: 'forbidden' },
  {
    title: 'the server is busy and says until when',
    plan: { connects: ['busy'] },
    connects: 2,
    delayMs: 1_000,
  },
  { title: 'the server does not answer at first', plan: { connects: ['silence'] }, connects: 2 },
  {
    title: 'the server is gone for a while',
    plan: {
      connects: ['none', 'refuse', 'refuse', 'refuse', 'refuse', 'refuse'],
      events: [{ seq: 4, then: 'drop' }],
    },
    connects: 7,
  },
  // An event stream may be opened again without another connection.
  { title: 'the line goes dead', plan: { events: [{ seq: 4, then: 'silence' }] } },
  {
    title: 'the line goes dead before the first event',
    plan: { events: [{ seq: 1, then: 'silence' }] },
    connects: 2,
  },
  { title: 'a frame is cut off', plan: { events: [{ seq: 4, then: 'truncate' }] }, connects: 2 },
  { title: 'an event comes twice', plan: { events: [{ seq: 4, then: 'twice' }] } },
  { title: 'every event comes twice', plan: { events: VISIBLE.map((seq) => ({ seq, then: 'twice' })) } },
  { title: 'two events change places', plan: { events: [{ seq: 4, then: 'late' }] } },
  { title: 'an event is left out', plan: { events: [{ seq: 5, then: 'lose' }] } },
  { title: 'an event of an unknown type comes', plan: { events: [{ seq: 4, then: 'unknown' }] } },
  {
    title: 'the server says goodbye',
    plan: { events: [{ seq: 4, then: 'goodbye' }] },
    connects: 2,
    delayMs: 1_000,
    ticket: 'once',
  },
  {
    title: 'what was missed has expired',
    plan: { events: [{ seq: 4, then: 'drop', meanwhile: 'expire' }] },
    connects: 2,
    resets: ['expired'],
  },
  {
    title: 'the server has lost what was read',
    plan: { events: [{ seq: 7, then: 'drop', meanwhile: 'forget' }] },
    connects: 2,
    resets: ['unknown'],
  },
  {
    title: 'the server tells another story than before',
    plan: { events: [{ seq: 7, then: 'drop', meanwhile: 'rewrite' }] },
    connects: 2,
    resets: ['rolled-back'],
  },
  {
    title: 'the reader falls out of the log',
    plan: { events: [{ seq: 4, then: 'lag' }] },
    resets: ['lagged'],
  },
  {
    title: 'the user closes it while it connects',
    plan: { connects: ['silence'] },
    act: 'close',
    error: 'cancelled',
  },
]

/** What a client keeps that may choose its wire. */
export const FALLBACK: readonly ConformanceCase[] = [
  { title: 'nothing blocks the WebSocket', plan: {}, wire: 'websocket' },
  { title: 'WebSockets are blocked', plan: { blockWebSocket: true }, wire: 'sse' },
  {
    title: 'WebSockets are blocked, and the stream drops',
    plan: { blockWebSocket: true, events: [{ seq: 4, then: 'drop' }] },
    wire: 'sse',
  },
  { title: 'a token is refused once', plan: { connects: ['unauthorized'] }, connects: 2, wire: 'websocket' },
]
