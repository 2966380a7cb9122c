import { threadRef, type Store } from '@turnpike/gateway'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { storeConformance } from '@turnpike/testkit'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, expect, test } from 'vitest'

const folders: string[] = []
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })))

const files = new WeakMap<Store, string>()
const thread = threadRef({ id: 'ann' }, 't')

storeConformance({ name: 'SQLite in memory', open: () => Promise.resolve(sqliteStore()) })
storeConformance({
  name: 'SQLite in a file',
  open: () => Promise.resolve(opened(newFile())),
  async reopen(store) {
    await store.close()
    return opened(files.get(store) ?? '')
  },
})

test('its folder is made, and nobody else may look into it', async () => {
  const file = join(newFolder(), 'deep', 'er', 'store.db')
  await using store = closing(opened(file))
  expect(store.isDurable).toBe(true)
  await store.threads.open(thread, '')
  if (process.platform === 'win32') return
  expect(statSync(join(file, '..')).mode & 0o777).toBe(0o700)
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('a second process is refused; what a killed one has written is there, and its lock is not', async () => {
  const file = newFile()
  await using holder = hold(file)
  const [first] = await once(holder, 'message')
  expect(first).toBe('open')
  await using other = hold(file)
  const exited = once(other, 'exit')
  await using refused = closing(opened(file))
  await expect(refused.threads.has(thread)).rejects.toThrow('is in use by another process')
  const [code] = await exited
  expect(code).toBe(3)
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  await using store = closing(opened(file))
  expect(await store.threads.list('ann', { limit: 5 })).toMatchObject([{ title: 'Written by the holder' }])
})

test('a file is let go of for who waits for it', async () => {
  const file = newFile()
  const first = opened(file)
  await first.threads.open(thread, 'Kept')
  await using second = closing(opened(file))
  const waiting = second.threads.has(thread)
  await first.close()
  expect(await waiting).toBe(true)
})

test('what cannot be a database is told, at every use, and harms nothing', async () => {
  const file = newFile()
  writeFileSync(file, 'This is a letter, and no database at all. '.repeat(100))
  await using store = closing(opened(file))
  const tries = [store.threads.has(thread), store.runs.unfinished(), store.threads.list('ann', { limit: 1 })]
  for (const attempt of await Promise.allSettled(tries)) {
    expect(attempt).toMatchObject({ reason: { message: `The database file ${file} is not a database.` } })
  }
  await using folder = closing(opened(newFolder()))
  await expect(folder.threads.has(thread)).rejects.toThrow('The database file')
})

test('tables are made once, and those of a newer version are left alone', async () => {
  const file = newFile()
  for (let i = 0; i < 2; i++) {
    await using store = closing(opened(file))
    await store.threads.open(thread, 'Kept')
  }
  using database = new DatabaseSync(file)
  expect(database.prepare('select name from kysely_migration').all()).toHaveLength(3)
  database.exec(`insert into kysely_migration values ('9999-later', '2030-01-01T00:00:00.000Z')`)
  database.close()
  await using store = closing(opened(file))
  await expect(store.threads.has(thread)).rejects.toThrow('made by a newer version')
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'turnpike-store-'))
  folders.push(folder)
  return folder
}

function newFile(): string {
  return join(newFolder(), 'store.db')
}

function opened(file: string): Store {
  const store = sqliteStore({ file })
  files.set(store, file)
  return store
}

function closing(store: Store): Store & AsyncDisposable {
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() })
}

function hold(file: string): ChildProcess & AsyncDisposable {
  const holder = fork(join(import.meta.dirname, 'store-holder.ts'), [file], {
    execArgv: ['--conditions=@turnpike/source'],
  })
  const exit = once(holder, 'exit')
  return Object.assign(holder, {
    async [Symbol.asyncDispose]() {
      holder.kill('SIGKILL')
      await exit
    },
  })
}
