import { describe, expect, test } from 'vitest'
import { type ToolDef } from '../src/tool.ts'
import { type Stage, play, tool } from './run-agent.ts'
import { call, calls, says } from './scripted-model.ts'

describe('a tool that is a generator', () => {
  async function updates(execute: ToolDef['execute']): Promise<{ updates: unknown[]; stage: Stage }> {
    const { stage } = await play([tool('t', execute)], calls(call('c', 't', {})), says('x'))
    const told = stage.of('run-update').map(({ background: { id, name, ...update } }) => {
      expect([id, name]).toEqual(['c', 't'])
      return update
    })
    return { updates: told, stage }
  }

  test('reports its progress, and returns its result', async () => {
    const { updates: told, stage } = await updates(async function* () {
      yield 0.5
      yield { progress: 0.75, message: 'almost' }
      yield 'tidying'
      yield { rows: 3 }
      return 'all'
    })
    expect(told).toEqual([
      { status: 'running', progress: 0.5 },
      { status: 'running', progress: 0.75, message: 'almost' },
      { status: 'running', progress: 0.75, message: 'tidying' },
      { status: 'running', progress: 0.75, message: '{"rows":3}' },
      { status: 'done', progress: 1 },
    ])
    expect(stage.of('tool-call-result')[0]?.result).toBe('all')
  })

  test('has what it yielded last as its result where it returns nothing', async () => {
    const { stage } = await updates(async function* () {
      yield 0.5
      yield { rows: 3 }
    })
    expect(stage.of('tool-call-result')[0]?.result).toEqual({ rows: 3 })
  })

  test('keeps its progress within 0 and 1', async () => {
    const { updates: told } = await updates(async function* () {
      yield -1
      yield Number.NaN
      yield 7
    })
    expect(told).toMatchObject([{ progress: 0 }, { progress: 0 }, { progress: 1 }, { status: 'done' }])
  })

  test('that throws has failed', async () => {
    const { updates: told, stage } = await updates(async function* () {
      yield 0.25
      throw new Error('broke')
    })
    expect(told.at(-1)).toEqual({ status: 'failed', progress: 0.25 })
    expect(stage.of('tool-call-error')[0]?.error.message).toBe('broke')
  })
})
