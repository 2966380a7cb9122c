import { createContext, useContext } from 'react'

/** What parts of a message may ask for, however deep they are. Its functions stay the same ones. */
export interface ConversationActions {
  readonly approve: (approvalId: string, approved: boolean, reason?: string) => Promise<void>
  readonly openArtifact: (id: string) => void
}

const NONE: ConversationActions = {
  approve: () => Promise.reject(new Error('There is no conversation around this.')),
  openArtifact: () => {},
}

export const ConversationActionsContext = createContext<ConversationActions>(NONE)

/** The actions of the conversation around a component. */
export function useConversationActions(): ConversationActions {
  return useContext(ConversationActionsContext)
}
