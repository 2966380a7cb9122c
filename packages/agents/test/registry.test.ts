import { expect, test } from 'vitest'
import { Registry } from '../src/registry.ts'
import { flow } from '../src/flow.ts'
import { Workflow } from '../src/workflow.ts'
import { sayer, team } from './team-stage.ts'

const agent = sayer('desk', '')
const other = sayer('other', '')
const desk = team([agent], { name: 'desk' })
const workflow = new Workflow({ name: 'desk', register: false, steps: flow().step('a', () => 1) })

test('an agent, a team and a workflow of one name are all found, by their kind', () => {
  const registry = new Registry([workflow, desk, agent, other])
  expect(registry.get('desk')).toBe(agent)
  expect(registry.get('desk', 'team')).toBe(desk)
  expect(registry.get('desk', 'workflow')).toBe(workflow)
  expect(registry.get('other', 'team')).toBeUndefined()
  expect(registry.get('nobody')).toBeUndefined()
  expect(registry.get('__proto__')).toBeUndefined()
})

test('each has a name by which it alone is found', () => {
  const registry = new Registry([desk, agent, workflow, other])
  const all = [agent, desk, workflow, other]
  expect(all.map((each) => registry.refOf(each))).toEqual(['desk', 'team:desk', 'workflow:desk', 'other'])
  for (const each of all) expect(registry.get(registry.refOf(each))).toBe(each)
  registry.remove('desk')
  expect(registry.refOf(desk)).toBe('desk')
  // What is called so counts before what is meant so.
  const odd = sayer('team:desk', '')
  registry.add(odd)
  expect(registry.get('team:desk')).toBe(odd)
})

test('they are listed by kind, or agents first, and the first agent is the default', () => {
  const registry = new Registry([desk, workflow])
  expect(registry.get()).toBe(desk)
  registry.add(agent)
  registry.add(other)
  expect(registry.get()).toBe(agent)
  expect(registry.list()).toEqual([agent, other, desk, workflow])
  expect(registry.list('team')).toEqual([desk])
  expect(registry.list('agent')).toEqual([agent, other])
})

test('a later one of the same kind and name takes the place of an earlier one', () => {
  const registry = new Registry([desk, agent])
  const later = team([other], { name: 'desk' })
  registry.add(later)
  expect(registry.list()).toEqual([agent, later])
  expect(registry.remove('desk', 'team')).toBe(true)
  expect(registry.remove('desk', 'team')).toBe(false)
  expect(registry.remove('desk')).toBe(true)
  expect(registry.remove('desk')).toBe(false)
})
