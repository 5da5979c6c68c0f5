// A node with presence as a process of its own, for tests that kill it. Prints its peer id, then one line for each change.
import '../../daemon/polyfill.ts'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '../../daemon/node.ts'
import { PresenceService } from '../../protocols/presence/index.ts'

const [network, bootstrap] = process.argv.slice(2)
const node = await createNode({
  privateKey: await generateKeyPair('Ed25519'),
  network: network!,
  listen: ['/ip4/127.0.0.1/tcp/0'],
  bootstrap: [bootstrap!],
  profile: 'test'
})
const presence = new PresenceService({ node }, { network: network! })
presence.onChange(({ type, peer }) => {
  if (type !== 'updated') console.log(type, peer)
})
presence.start()
console.log(node.peer)
