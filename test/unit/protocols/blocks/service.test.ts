import assert from 'node:assert/strict'
import { MAX_WANTS_PER_FRAME, WANTS } from '../../../../protocols/blocks/constants.ts'
import { BlockExchange, blocksProtocol } from '../../../../protocols/blocks/index.ts'
import { encodeRequest } from '../../../../protocols/blocks/messages.ts'
import { cidOf, RAW } from '../../../../protocols/cids.ts'
import type { ProtocolError } from '../../../../protocols/errors.ts'
import { MemoryStore, madeBlocks } from '../../../contracts/block-exchange.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'

const NETWORK = 'n'
const ABSENT = Array<string>(MAX_WANTS_PER_FRAME).fill(cidOf(Buffer.from('absent'), RAW))
const FRAMES = 4
const STREAMS = WANTS.burst / (FRAMES * MAX_WANTS_PER_FRAME)

describe('BlockExchange', () => {
  it('answers a newcomer, with however many ids another machine asks, and refuses some of those whom no run has accepted', async () => {
    const blocks = madeBlocks([100, 200, 300])
    const network = new MemoryNetwork()
    const store = new MemoryStore()
    for (const [cid, bytes] of blocks) store.blocks.set(cid, bytes)
    const payers = new Set<string>()
    const holder = new BlockExchange(
      { node: network.node('holder'), store },
      {
        network: NETWORK,
        pace: { frameBytes: most => most, take: async (_, { payer }) => void payers.add(payer) },
        isAccepted: peer => peer.startsWith('member'),
        originOf: address => (address.startsWith('/memory/newcomer') ? 'elsewhere' : 'here')
      }
    )
    await holder.start()

    /** Asks for all that one peer may ask for at once. @returns of each of its streams the code with which it broke, null where it did not */
    const askAs = (peer: string): Promise<string | null>[] => {
      const node = network.node(peer)
      const credit = encodeRequest({ kind: 'credit', bytes: 1_000_000 })
      const frames = [credit, ...Array<Uint8Array>(FRAMES).fill(encodeRequest({ kind: 'want', cids: ABSENT }))]
      return Array.from({ length: STREAMS }, async () => {
        const stream = await node.openStream('holder', blocksProtocol(NETWORK))
        try {
          await stream.write(frames)
          await stream.close()
          while ((await stream.read()) !== null) {}
          return null
        } catch (error) {
          return (error as ProtocolError).code
        }
      })
    }

    const members = await Promise.all(Array.from({ length: 16 }, (_, n) => askAs(`member ${n}`)).flat())
    assert.ok(members.every(code => code === null))
    const crowd = Array.from({ length: 16 }, (_, n) => askAs(`stranger ${n}`)).flat()
    await Promise.any(crowd.map(async end => assert.equal(await end, 'rate_limited')))
    const newcomer = new BlockExchange({ node: network.node('newcomer'), store: new MemoryStore() }, { network: NETWORK })
    assert.deepEqual(await newcomer.fetch([...blocks.keys()], () => ['holder']), { missing: [] })
    assert.deepEqual(payers, new Set([...Array.from({ length: 16 }, (_, n) => `member ${n}`), 'here', 'elsewhere']))
    network.kill('holder')
    await Promise.all(crowd)
    await Promise.all([holder.stop(), newcomer.stop()])
  })
})
