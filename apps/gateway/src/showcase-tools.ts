import { setTimeout as sleep } from 'node:timers/promises'
import { defineTool } from '@turnpike/agents'
import * as z from 'zod'

const INDEXING_MS = 6_000
const INDEXING_STEPS = 20
const SKIES = ['sunny', 'cloudy', 'light rain', 'windy', 'fog', 'clear'] as const

const recallMemory = defineTool({
  name: 'recall_memory',
  description: 'Searches what is remembered of the user, by the words of the query.',
  parameters: z.object({ query: z.string() }),
  execute: async ({ query }, { memories }) => ({ memories: await memories.recall(query) }),
})

const getWeather = defineTool({
  name: 'get_weather',
  description: 'Gives the weather of a city. A demo: the weather is made up from the name.',
  parameters: z.object({ city: z.string().min(1) }),
  execute({ city }) {
    const sum = Buffer.from(city.toLowerCase()).reduce((total, byte) => total + byte, 0)
    return { city, sky: SKIES[sum % SKIES.length], celsius: (sum % 31) - 3, source: 'made up for this demo' }
  },
})

const checkTraffic = defineTool({
  name: 'check_traffic',
  description: 'Looks up the traffic of a city. A demo of a tool that always fails.',
  parameters: z.object({ city: z.string().min(1) }),
  execute({ city }) {
    throw new Error(`Nobody counts the traffic of ${city}: this tool fails on purpose.`)
  },
})

const writeDocument = defineTool({
  name: 'write_document',
  description: 'Writes a document that the user sees beside the conversation. Gives its id.',
  parameters: z.object({ title: z.string().min(1), paragraphs: z.array(z.string()).min(1) }),
  async execute({ title, paragraphs }, { artifacts }) {
    const { id, version } = await artifacts.create({ kind: 'document', title, content: { paragraphs } })
    return { documentId: id, version, title }
  },
})

const reviseDocument = defineTool({
  name: 'revise_document',
  description: 'Revises a document: replaces the paragraph of that number (from 0), or adds one at the end.',
  parameters: z.object({
    documentId: z.string(),
    text: z.string(),
    paragraph: z.number().int().min(0).optional(),
  }),
  async execute({ documentId, text, paragraph }, { artifacts }) {
    const operation = paragraph === undefined ? 'add' : 'replace'
    const patch = [{ op: operation, path: `/paragraphs/${paragraph ?? '-'}`, value: text }]
    const { version } = await artifacts.update(documentId, { patch })
    return { documentId, version }
  },
})

const remember = defineTool({
  name: 'remember',
  description: 'Remembers a sentence about the user, for all their conversations.',
  parameters: z.object({ text: z.string().min(1) }),
  execute: async ({ text }, { memories }) => ({ memoryId: (await memories.write(text)).id }),
})

const indexDocuments = defineTool({
  name: 'index_documents',
  description: 'Begins to index a collection of documents, and does not wait: it goes on after the answer.',
  parameters: z.object({ collection: z.string().min(1) }),
  execute: ({ collection }, context) => ({
    operationId: context.background(`Indexing ${collection}`, async (operation) => {
      for (let step = 1; step <= INDEXING_STEPS; step++) {
        await sleep(INDEXING_MS / INDEXING_STEPS, undefined, { signal: operation.signal })
        operation.update(step / INDEXING_STEPS, `${step} of ${INDEXING_STEPS} documents`)
      }
    }),
  }),
})

const sendPostcard = defineTool({
  name: 'send_postcard',
  description: 'Sends a postcard, once the user has approved it. A demo: nothing leaves this machine.',
  parameters: z.object({ to: z.string().min(1), text: z.string().min(1) }),
  needsApproval: true,
  execute: ({ to }) => ({ isSent: true, to }),
})

/** One tool for each thing that can be seen of an agent; none of them touches anything outside. */
export const showcaseTools = [
  recallMemory,
  getWeather,
  checkTraffic,
  writeDocument,
  reviseDocument,
  remember,
  indexDocuments,
  sendPostcard,
]
