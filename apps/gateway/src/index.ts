export { demoAgent } from './demo-agent.ts'
export { type ServeSettings, serve, settingsFrom } from './serve.ts'
