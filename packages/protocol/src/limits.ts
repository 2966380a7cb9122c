/**
 * Every number a peer can hit, in one place: bytes, milliseconds, counts.
 *
 * Wires and the gateway read their defaults here, so that a number in the documentation has one home.
 */
export const LIMITS = {
  /** One inbound frame or HTTP body, in bytes. Above it: `payload-too-large`, close 1009. */
  frameBytes: 1_048_576,
  /** The same for one message of Socket.IO, or one of its requests, which may hold several events. */
  packetBytes: 2_097_152,
  /** Fragments of one WebSocket message. */
  frameFragments: 1_024,
  /** Chunks that the WebSocket parser holds while a message is incomplete. */
  frameBufferedChunks: 4_096,
  /** Nesting of inbound JSON. Above it: `too-deep`. */
  jsonDepth: 32,
  /** Nesting of what an agent reports. Above it: `invalid-agent-event`. */
  eventDepth: 200,
  /** Characters of an id that a client chooses (thread, run, agent name). */
  idChars: 256,
  /** Characters of the reason given for an approval. */
  reasonChars: 4_096,
  /** Characters of a key for models that a caller brings along. */
  apiKeyChars: 4_096,
  /** Parts of one inbound message. */
  messageParts: 64,
  /** Frames, bytes and time a connection may spend before it is admitted. Above: `early-overflow`, `auth-timeout`. */
  earlyFrames: 64,
  earlyBytes: 262_144,
  earlyMs: 10_000,
  /** Connections that wait for a verdict at once. Above it: `too-many-connections`. */
  earlyConnections: 1_000,
  /** What a connect of Socket.IO may bring along as `auth`, as JSON, in bytes. Above it: `payload-too-large`. */
  connectBytes: 32_768,
  /** Namespaces that one connection of Socket.IO is in, or asks to join. Above it: `too-many-connections`. */
  namespaces: 64,
  /** How often one connection may ask to join any, a minute and at once. Above it, the connection is closed. */
  joinsPerMinute: 120,
  /** Time a ticket may be used in, once; and one that is given with a goodbye. */
  ticketMs: 30_000,
  resumeTicketMs: 120_000,
  /** Tickets one user may get a minute. Above it: `rate-limited`. */
  ticketsPerMinute: 60,
  /** Inbound frames a second, and at once. Above it: `rate-limited`. A long frame counts once for each unit. */
  framesPerSecond: 50,
  frameBurst: 100,
  frameUnitBytes: 32_768,
  /** Refused frames in a row after which a peer that keeps sending too fast is closed with 4529. */
  refusedFrames: 1_000,
  /** Threads that one connection follows. Above it: `too-many-subscriptions`. */
  subscriptions: 64,
  /** Connections a gateway holds. Above it: `too-many-connections`. */
  connections: 10_000,
  /** The same for each authenticated user. Here and in the next three, 0 is no limit. */
  userConnections: 0,
  /** Commands and HTTP requests of one authenticated user a minute, over all connections. Above it: `rate-limited`. */
  userCommandsPerMinute: 3_000,
  /** Runs of one authenticated user that go on at once, and that wait for approval. Above: `too-many-runs`. */
  userRuns: 5,
  userParkedRuns: 50,
  /** Requests a minute on one connection to the agent gateway, and of one user there. Above it: `rate-limited`; 0 is none. */
  socketRequestsPerMinute: 60,
  /** Entities that bring tools at once. Above it: `too-many-connections`. */
  entities: 1_000,
  /** Tools of one entity, and their descriptions and schemas as JSON, in characters. Above: `invalid-payload`. */
  entityTools: 128,
  entityToolChars: 262_144,
  /** Subschemas in the schemas of all tools of one entity; one tool has at most 1,000. Above it: `invalid-payload`. */
  entitySubschemas: 4_000,
  /** Calls that one entity works on at once. Above it, a call is `tool-failed`. */
  entityCalls: 64,
  /** Time an entity has to answer a call, where the agent gives no less. Above it: `tool-timeout`. */
  entityCallMs: 60_000,
  /** Silence after which an entity is held to be gone; 0 is no limit. */
  entitySilenceMs: 60_000,
  /** Lists of tools that one entity may bring a minute. Above it: `rate-limited`. */
  registrationsPerMinute: 60,
  /** The same for all together that nobody has authenticated: they may call themselves whatever they like. */
  anonymousRegistrationsPerMinute: 600,
  /** Runs waiting behind the active one of a thread. Above it: `thread-busy`. */
  queuedRuns: 8,
  /** Finished runs whose id is still remembered, so that sending it again starts nothing. */
  rememberedRuns: 10_000,
  /** One event as JSON, in characters. Above it: `event-too-large`. */
  eventChars: 1_048_576,
  /** The answer of one run, all it reports, and how many events beside text, in characters. Above: `output-too-large`. */
  answerChars: 1_048_576,
  outputChars: 4_194_304,
  runEvents: 5_000,
  /** Longer deltas are cut into several events. */
  deltaChars: 16_384,
  /** Time a run may take before it ends with `run-timeout`. */
  runMs: 1_800_000,
  /** Time an agent has to end by itself after an abort; then it is abandoned. */
  graceMs: 2_000,
  /** Time that somebody has to decide an approval; then it is denied. */
  approvalMs: 900_000,
  /** Time between what an open message has and what the store has of it. */
  checkpointMs: 1_000,
  /** Numbers of events that are reserved ahead in the store, so that a restart goes on above them. */
  seqBlock: 10_000,
  /** Age up to which events are kept for replay once their run has ended. */
  replayWindowMs: 30_000,
  /** Bytes of events that the log keeps for one thread. */
  logBytes: 4_194_304,
  /** A sink holding this many bytes takes no events until it has drained. */
  highWaterBytes: 262_144,
  /** Bytes and events of one flush. */
  flushBytes: 65_536,
  flushEvents: 64,
  /** Answers waiting in a sink after which no further command of that connection is read. */
  answerBytes: 1_048_576,
  /** Messages of a history or of one page, and about how many characters; the latest turn is always whole. */
  historyMessages: 200,
  historyChars: 1_048_576,
  /** Time between pings, and the time a peer has to show life after one. */
  pingIntervalMs: 30_000,
  pongTimeoutMs: 10_000,
  /** Time between comments on an idle event stream. */
  heartbeatMs: 15_000,
} as const

/** The names of {@link LIMITS} with plain numbers: what an option `limits` overrides. */
export type Limits = { readonly [Name in keyof typeof LIMITS]: number }
