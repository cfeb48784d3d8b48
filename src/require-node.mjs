/**
 * Runs before `npm start`, `npm test` and `npm run odradek` in a checkout: an older Node cannot even load the TypeScript
 * sources, so this is plain JavaScript. Normally `npm ci` brings Node 24 and nothing is said here.
 */
const [major, minor] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 18) || major === 23) {
  console.error(
    `odradek needs Node 22.18 or newer, and this is ${process.version}. npm ci brings Node 24 along unless install ` +
      'scripts are turned off:\nrun npm ci --ignore-scripts=false',
  )
  process.exit(1)
}
