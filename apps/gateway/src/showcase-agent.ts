import { type Model, type Runnable, createAgent } from '@turnpike/agents'
import { showcaseTools } from './showcase-tools.ts'

const INSTRUCTIONS = `You are the showcase of Turnpike, a real-time gateway for AI agents. Whatever the user writes,
plan a day for them in the city they name, or in Lisbon, and use every tool once on the way, in this order:
recall_memory; then get_weather and check_traffic in one turn; write_document with the plan; revise_document, to add an
evening; remember, with one sentence on what the user wanted; index_documents; send_postcard.
check_traffic always fails: do not repeat it. If the postcard is not approved, say so and do not ask again.
Close with a short answer that refers to what the tools gave.`

/** Shows what an agent can do here: tools and their errors, memory, artifacts, background work, approvals. */
export function showcaseAgent(model: Model): Runnable {
  return createAgent({
    name: 'showcase',
    description: 'Takes a tour: memory, tools, a document, background work, and a postcard that you approve.',
    model,
    instructions: INSTRUCTIONS,
    tools: showcaseTools,
    register: false,
  })
}
