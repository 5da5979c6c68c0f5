import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode, type ShoalNode } from '../../daemon/node.ts'
import { describeBlockExchange } from './block-exchange.ts'
import { MemoryNetwork } from './memory-network.ts'

describeBlockExchange('memory', async () => {
  const network = new MemoryNetwork()
  let count = 0
  return { node: async () => network.node(`peer-${++count}`), close: async () => {} }
})

describeBlockExchange('libp2p', async () => {
  const nodes: ShoalNode[] = []
  return {
    node: async () => {
      const node = await createNode({
        privateKey: await generateKeyPair('Ed25519'),
        network: 'contract',
        listen: ['/ip4/127.0.0.1/tcp/0'],
        bootstrap: [],
        profile: 'test'
      })
      for (const other of nodes) await node.connect(other.addresses()[0]!)
      nodes.push(node)
      return node
    },
    close: async () => {
      await Promise.all(nodes.map(node => node.stop()))
    }
  }
})
