export { TestLink } from './test-link.ts'
export { type LogUnderTest, logConformance } from './log-conformance.ts'
export {
  type PuppetAgent,
  type PuppetRun,
  ALL_REPORTS,
  countingAgent,
  puppetAgent,
  scriptedAgent,
} from './scripted-agents.ts'
