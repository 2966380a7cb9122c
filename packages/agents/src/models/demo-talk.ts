import type { DemoPrompt } from './demo-prompt.ts'
import type { Turn } from './demo-turn.ts'

/** The turn of a message that begins with "fail" or "crash": an answer that breaks off. */
export function brokenTurn({ text }: DemoPrompt): Turn | undefined {
  if (!/^(please )?(fail|crash)\b/i.test(text)) return undefined
  return {
    text: 'As you wish. I begin an answer, and then I …',
    failure: 'The demo model fails where it is asked to.',
  }
}

/** A plain answer; a long one where the message asks for a story, or for something long. */
export function plainTurn({ text, earlier }: DemoPrompt): Turn {
  const memory =
    earlier === 0
      ? 'This is the beginning of our thread.'
      : `I see ${earlier} earlier ${earlier === 1 ? 'message' : 'messages'} of yours in this thread.`
  if (/\b(story|stories|long|longer)\b/i.test(text)) return { text: `${memory} ${STORY}` }
  const heard = text === '' ? 'You said nothing that I can read.' : `You said: “${shortened(text)}”.`
  return { text: `${heard} ${memory} ${INTRODUCTION}` }
}

const QUOTED_CHARS = 300

function shortened(text: string): string {
  if (text.length <= QUOTED_CHARS) return text
  return `${text.slice(0, QUOTED_CHARS).replace(/\p{Cs}$/u, '')} …`
}

const INTRODUCTION =
  'I am the demo model: I need no network and no key, I know nothing of the world, and to the same words I always ' +
  'give the same answer. What I am good for is watching how an answer travels: these words come one by one, as those ' +
  'of a real model do. Try this: ask me for a long story, cut the connection while I talk, wait a little and come ' +
  'back. I go on talking while you are away, and you will not miss a word. Say “fail” to see how an answer breaks. ' +
  'With an API key in the environment, a real model talks in my place.'

const STORY = `At the foot of the mountains stood a tollhouse, and in it lived a keeper who had never once lost a traveller.

People came from every direction. Some rode, some walked, some had carts so heavy that the horses stopped to think about each step. The keeper wrote every one of them into a long book: a number, a time, a name. "Why do you bother?" asked the baker's daughter, who brought the bread. "They all go through anyway."

"They go through," said the keeper, "but they do not all arrive at once."

That winter the snow came early. A messenger set out from the valley with forty letters, and halfway up the pass the road simply ended under a white wall. He waited there a night and a day. Below him the letters kept coming, for people do not stop writing because it snows, and the keeper laid each one on the shelf beside the book, in order, and wrote down its number.

When the road was clear again the messenger came down, half frozen, and could only say one thing: "The last one I carried was number twenty-three."

The keeper opened the book, put a finger on the line, and handed him twenty-four, and twenty-five, and all the rest, to the one that had come that very minute. Not one was missing. Not one was there twice. The messenger counted them on the road, for he was a careful man, and then he laughed out loud, alone in the snow.

The baker's daughter had watched it all. "So that is what the book is for," she said.

"The road will always break somewhere," said the keeper. "It is enough that the book does not."

And when she was grown she kept the tollhouse herself, and the book grew longer, and to this day no traveller has been lost there.`
