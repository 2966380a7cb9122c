export { type ChatRecord, type ChatVerdict, type CheckChatOptions, checkChat } from './chat-checker.ts'
export { ChatTranscript } from './chat-transcript.ts'
export {
  type ChatAsk,
  type ChatFrame,
  type ChatWords,
  agentSocketWords,
  chatAnswerWords,
  chatJsonWords,
} from './chat-words.ts'
export { type FollowChatOptions, type FollowedChat, followChat } from './follow-chat.ts'
