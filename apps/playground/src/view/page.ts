import type { AgentInfo } from '../agents.ts'
import type { Status } from '../connection.ts'
import { type ThreadState, activeRun } from '../thread-state.ts'
import { Announcer } from './announcer.ts'
import { type ComposerActions, Composer } from './composer.ts'
import { onPage } from './element.ts'
import { EventPanel } from './event-panel.ts'
import { FollowScroll } from './follow-scroll.ts'
import type { MessageActions } from './message.ts'
import { Messages } from './messages.ts'
import { StatusBar } from './status-bar.ts'

/** What the user can do. */
export interface PageActions extends ComposerActions, MessageActions {
  readonly toggleConnection: () => void
  readonly newThread: () => void
}

/** What the page shows. */
export interface PageState {
  readonly thread: ThreadState
  readonly status: Status
  /** The run that has been asked to stop. */
  readonly stopping: string | undefined
}

/** The page as a whole; it is drawn at most once a frame. */
export class Page {
  readonly #read: () => PageState
  readonly #welcome = onPage('welcome', HTMLElement)
  readonly #older = onPage('older', HTMLElement)
  readonly #scroll = new FollowScroll(onPage('conversation', HTMLElement), onPage('jump', HTMLButtonElement))
  readonly #messages: Messages
  readonly #composer: Composer
  readonly #status: StatusBar
  readonly #panel = new EventPanel()
  readonly #announcer = new Announcer()
  #drawing = false

  /** @param read - Gives what is to be shown at the time it is drawn. */
  constructor(read: () => PageState, actions: PageActions) {
    this.#read = read
    this.#messages = new Messages(onPage('messages', HTMLElement), actions)
    this.#composer = new Composer({
      stop: actions.stop,
      send: (text, agent) => {
        this.#scroll.toEnd()
        actions.send(text, agent)
      },
    })
    this.#status = new StatusBar(actions.toggleConnection)
    onPage('new-thread', HTMLButtonElement).addEventListener('click', () => {
      actions.newThread()
      this.#composer.focus()
    })
    this.#welcome.addEventListener('click', ({ target }) => {
      if (target instanceof HTMLButtonElement) this.#composer.say(target.textContent.trim())
    })
  }

  /** Offers a choice of agents, where there is one. */
  offer(agents: readonly AgentInfo[]): void {
    this.#composer.offer(agents)
  }

  /** Draws what there is by the next frame. */
  schedule(): void {
    if (this.#drawing) return
    this.#drawing = true
    requestAnimationFrame(() => {
      this.#drawing = false
      this.#draw(this.#read())
    })
  }

  #draw({ thread, status, stopping }: PageState): void {
    const runId = activeRun(thread)
    this.#welcome.hidden = thread.messages.length + thread.pending.length > 0
    this.#older.hidden = !thread.hasMore
    this.#messages.update(thread)
    this.#composer.update({
      isRunning: runId !== undefined,
      isStopping: runId !== undefined && runId === stopping,
      isLive: status.kind === 'live',
    })
    this.#status.update(status)
    this.#panel.update(thread)
    this.#announcer.update(thread, status)
    this.#scroll.settle()
  }
}
