import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, type RunInput, defineAgent } from '@turnpike/agents'

const WORDS_PER_SECOND = 25

/** Answers offline, word by word, about as fast as a model does: something to watch, stop, cut and resume. */
export const demoAgent: Agent = defineAgent({
  name: 'demo',
  description: 'Talks plainly, offline. Ask it for a long story.',
  register: false,
  async *run(input, { signal }) {
    for (const word of answerTo(input).match(/\S+\s*/g) ?? []) {
      await sleep(1000 / WORDS_PER_SECOND, undefined, { signal })
      yield word
    }
  },
})

function answerTo({ text, history }: RunInput): string {
  const earlier = history.filter((message) => message.role === 'user').length
  const memory =
    earlier === 0
      ? 'This is the beginning of our thread.'
      : `I remember ${earlier} earlier ${earlier === 1 ? 'message' : 'messages'} of this thread.`
  if (/\b(story|long)\b/i.test(text)) return `${memory} ${STORY}`
  return (
    `You said: “${text.slice(0, 300)}”. ${memory} ` +
    'I am a small agent made of an async generator, and these words come one by one, as those of a model do. ' +
    'Try this: ask me for a long story, cut the connection while I talk, wait a little and come back. ' +
    'I go on talking while you are away, and you will not miss a word.'
  )
}

const STORY = `At the foot of the mountains stood a tollhouse, and in it lived a keeper who had never once lost a traveller.

People came from every direction. Some rode, some walked, some had carts so heavy that the horses stopped to think about each step. The keeper wrote every one of them into a long book: a number, a time, a name. "Why do you bother?" asked the baker's daughter, who brought the bread. "They all go through anyway."

"They go through," said the keeper, "but they do not all arrive at once."

That winter the snow came early. A messenger set out from the valley with forty letters, and halfway up the pass the road simply ended under a white wall. He waited there a night and a day. Below him the letters kept coming, for people do not stop writing because it snows, and the keeper laid each one on the shelf beside the book, in order, and wrote down its number.

When the road was clear again the messenger came down, half frozen, and could only say one thing: "The last one I carried was number twenty-three."

The keeper opened the book, put a finger on the line, and handed him twenty-four, and twenty-five, and all the rest, to the one that had come that very minute. Not one was missing. Not one was there twice. The messenger counted them on the road, for he was a careful man, and then he laughed out loud, alone in the snow.

The baker's daughter had watched it all. "So that is what the book is for," she said.

"The road will always break somewhere," said the keeper. "It is enough that the book does not."

And when she was grown she kept the tollhouse herself, and the book grew longer, and to this day no traveller has been lost there.`
