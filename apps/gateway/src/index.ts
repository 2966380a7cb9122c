export { agentsFrom } from './agents.ts'
export { type ServeSettings, serve, settingsFrom } from './serve.ts'
