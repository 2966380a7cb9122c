// Plain JavaScript on purpose: it has to run on the old Node that it complains about.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `Node ${process.versions.node} is too old; Turnpike needs 22.18 or newer. ` +
      'Run "npm ci" first and start through npm ("npm start", "npm test"): it brings a Node of its own.',
  )
  process.exit(1)
}
