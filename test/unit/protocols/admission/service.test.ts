import assert from 'node:assert/strict'
import { MAX_ADMISSION_BYTES, STREAMS_PER_PEER } from '../../../../protocols/admission/constants.ts'
import { type AdmissionRequest, AdmissionService } from '../../../../protocols/admission/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'

const RUN = cidOf(new Uint8Array([1]), DAG_CBOR)
const REQUEST: AdmissionRequest = { say: 'admit', run: RUN, name: 'attic', secret: null, grant: null }

describe('AdmissionService', () => {
  const service = (network: MemoryNetwork, peer: string, answer: ConstructorParameters<typeof AdmissionService>[0]['answer']) =>
    new AdmissionService({ node: network.node(peer), answer }, { network: 'n', timeoutMs: 300 })
  const nobody = async () => ({ is: 'pending' }) as const

  it('asks as the peer that it is and from where it is, and answers what was decided', async () => {
    const network = new MemoryNetwork()
    const heard: [string, AdmissionRequest, string][] = []
    const inviter = service(network, 'inviter', async (...asked) => {
      heard.push(asked)
      return { is: 'refused', code: 'invitation_expired' }
    })
    await inviter.start()
    const newcomer = service(network, 'newcomer', nobody)
    assert.deepEqual(await newcomer.ask('inviter', REQUEST), { is: 'refused', code: 'invitation_expired' })
    assert.deepEqual(heard, [['newcomer', REQUEST, '/memory/newcomer']])
  })

  it('says who stalled, who cannot be reached, who talks nonsense, and cuts off who asks nonsense', async () => {
    const network = new MemoryNetwork()
    const newcomer = service(network, 'newcomer', nobody)
    await network.node('silent').handle('/shoal/n/admission/1', async stream => {
      while ((await stream.read()) !== null) {}
    })
    await network.node('mad').handle('/shoal/n/admission/1', stream => stream.write([new Uint8Array([1, 2, 3])]))
    await assert.rejects(newcomer.ask('silent', REQUEST), { code: 'peer_stalled' })
    await assert.rejects(newcomer.ask('nobody', REQUEST), { code: 'peer_unreachable' })
    await assert.rejects(newcomer.ask('mad', REQUEST), { code: 'bad_message' })
    await newcomer.start()
    const asker = network.node('asker')
    const stream = await asker.openStream('newcomer', '/shoal/n/admission/1')
    await stream.write([new Uint8Array(100_000)])
    await assert.rejects(stream.read(), { code: 'message_too_large' })
  })

  it('has the node read no more than a request of a frame, and few streams of one peer', async () => {
    const told: unknown[] = []
    const node = {
      handle: async (...all: unknown[]) => void told.push(all[2]),
      unhandle: async () => {},
      openStream: () => Promise.reject(new Error())
    }
    await new AdmissionService({ node, answer: nobody }, { network: 'n' }).start()
    assert.deepEqual(told, [{ frameBytesMax: MAX_ADMISSION_BYTES, streamsPerPeer: STREAMS_PER_PEER }])
  })
})
