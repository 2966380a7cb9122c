import type { DemoPrompt, DemoResult } from './demo-prompt.ts'
import type { Turn } from './demo-turn.ts'

interface Step {
  readonly reasoning?: string
  readonly text?: string
  /** What to call; left out where the results so far give nothing to call it with. */
  readonly calls: Readonly<Record<string, unknown>>
}

/**
 * The next turn of the showcase: the first step that has a tool which is offered and was not called yet, and at the end
 * the answer. Undefined where none of its tools is offered.
 */
export function nextTurn(prompt: DemoPrompt, offered: ReadonlySet<string>): Turn | undefined {
  const steps = stepsFor(prompt)
  if (!steps.some(({ calls }) => Object.keys(calls).some((tool) => offered.has(tool)))) return undefined
  for (const { calls, ...words } of steps) {
    const open = Object.entries(calls).filter(
      ([tool, input]) => input !== undefined && offered.has(tool) && !prompt.called.has(tool),
    )
    if (open.length === 0) continue
    // The names of tools make it unique in its turn, the count of messages in its thread.
    return {
      ...words,
      calls: open.map(([tool, input]) => ({ id: `demo-${prompt.earlier + 1}-${tool}`, tool, input })),
    }
  }
  return { text: closing(prompt) }
}

function stepsFor({ text, results }: DemoPrompt): readonly Step[] {
  const city = cityIn(text)
  const documentId = textField(results.get('write_document'), 'documentId')
  return [
    {
      reasoning: `I should plan a day in ${city} and show what I can do on the way. First I look for what I remember of this user.`,
      calls: { recall_memory: { query: `plan a day: ${text}` } },
    },
    {
      text: 'Let me ask about the weather and the traffic at the same time.',
      calls: { get_weather: { city }, check_traffic: { city } },
    },
    {
      reasoning: 'One of the two lookups is meant to fail. What I have is enough to write the plan down.',
      calls: {
        write_document: {
          title: `A day in ${city}`,
          paragraphs: [
            `Morning: a walk. The forecast says ${weather(results)}.`,
            'Noon: soup, and no hurry.',
          ],
        },
      },
    },
    {
      text: 'The plan lacks an evening.',
      calls: {
        revise_document: documentId && { documentId, text: 'Evening: a bench by the old toll bridge.' },
      },
    },
    { calls: { remember: { text: `Wanted to plan a day in ${city}.` } } },
    {
      text: 'I start the indexing of the documents; it goes on after my answer.',
      calls: { index_documents: { collection: 'plans' } },
    },
    {
      text: 'One thing I may not do alone: send a postcard. You decide.',
      calls: { send_postcard: { to: 'the keeper of the tollhouse', text: `Greetings from ${city}!` } },
    },
  ]
}

/** Refers to what was found; what was not called is not spoken of. */
function closing({ text, results }: DemoPrompt): string {
  const city = cityIn(text)
  const sentences: Record<string, (result: DemoResult) => string> = {
    recall_memory: (result) => recalled(result),
    get_weather: (result) => done(result, `The weather is made up, as this is a demo: ${weather(results)}.`),
    check_traffic: (result) =>
      result.status === 'done'
        ? 'The traffic was known.'
        : `The traffic I could not learn: ${reason(result)}`,
    write_document: (result) => done(result, `I wrote “${textField(result, 'title') ?? 'a document'}”.`),
    revise_document: (result) =>
      done(result, `I revised it: it is at version ${JSON.stringify(field(result, 'version') ?? 2)} now.`),
    remember: (result) => done(result, 'I shall remember what you wanted: ask me again.'),
    index_documents: (result) => done(result, 'The indexing goes on while you read this.'),
    send_postcard: (result) => postcard(result),
  }
  // In the order of the plan: results may come in another one, as after an approval.
  const told = Object.entries(sentences).map(([tool, tell]) => {
    const result = results.get(tool)
    return result && tell(result)
  })
  return [`That was the tour, from ${city}.`, ...told.filter((sentence) => sentence !== undefined)].join(' ')
}

function recalled(result: DemoResult): string {
  const memories = field(result, 'memories')
  const first: unknown = Array.isArray(memories) ? memories[0] : undefined
  const found = textField({ ...result, value: first }, 'text')
  return found ? `I remembered this: “${found}”` : 'I remembered nothing of you yet.'
}

function postcard(result: DemoResult): string {
  if (result.status === 'done') return 'Thank you for the approval: the postcard is on its way.'
  if (result.status === 'denied') {
    const why = typeof result.value === 'string' ? ` (${result.value})` : ''
    return `You did not approve the postcard${why}, so I did not send it.`
  }
  return `The postcard was not sent: ${reason(result)}`
}

function weather(results: DemoPrompt['results']): string {
  const result = results.get('get_weather')
  const [sky, celsius] = [textField(result, 'sky'), field(result, 'celsius')]
  return sky && typeof celsius === 'number' ? `${sky}, ${celsius} °C` : 'nothing'
}

function done(result: DemoResult, sentence: string): string {
  return result.status === 'done' ? sentence : `${result.tool} failed: ${reason(result)}`
}

/** Why something went wrong, as the end of a sentence. */
function reason({ value }: DemoResult): string {
  const why = typeof value === 'string' ? value : JSON.stringify(value ?? 'no reason was given')
  return /[.!?]$/.test(why) ? why : `${why}.`
}

function field(result: DemoResult | undefined, name: string): unknown {
  const value = result?.value
  if (typeof value !== 'object' || value === null) return undefined
  return Object.entries(value).find(([key]) => key === name)?.[1]
}

function textField(result: DemoResult | undefined, name: string): string | undefined {
  const value = field(result, name)
  return typeof value === 'string' ? value : undefined
}

/** "a day in Kyoto" is about Kyoto; what names no place is about Lisbon. */
function cityIn(text: string): string {
  return /\bin (\p{Lu}[\p{L}-]{1,40})/u.exec(text)?.[1] ?? 'Lisbon'
}
