/**
 * Loaded before a server: has each collection asked for give back what it can.
 *
 * The usual one keeps the room for young objects as large as it has grown, which is up to 48 MB, and does not move what is
 * left of old ones together: at a thousand connections that is more than what they have.
 */
const collect = globalThis.gc
if (collect) {
  globalThis.gc = Object.assign(
    () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' }),
    collect,
  )
}
