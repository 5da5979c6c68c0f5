import assert from 'node:assert/strict'
import { byReach, parseAddress, peerInAddress } from '../../../daemon/node-addresses.ts'
import { REDIAL_MAX_MS, Redial, redialDelayMs } from '../../../daemon/node-redial.ts'

describe('redialDelayMs()', () => {
  it('doubles up to a limit', () => {
    assert.deepEqual([0, 1, 2, 3, 6, 50].map(redialDelayMs), [0, 500, 1000, 2000, REDIAL_MAX_MS, REDIAL_MAX_MS])
  })
})

describe('Redial', () => {
  it('dials while a target is not connected, and leaves it alone while it is', async () => {
    const redial = new Redial()
    let connected = false
    let dials = 0
    redial.add('hub', {
      connected: () => connected,
      dial: async () => {
        dials += 1
        if (dials < 2) throw new Error('refused')
        connected = true
      }
    })
    redial.start()
    await new Promise(resolve => setTimeout(resolve, 1200))
    redial.stop()
    assert.equal(dials, 2)
  })

  it('gives a target up when its time is over', async () => {
    const redial = new Redial()
    let dials = 0
    redial.add('lost', { connected: () => false, dial: () => Promise.reject(new Error(`refused ${++dials}`)), forMs: 300 })
    redial.start()
    await new Promise(resolve => setTimeout(resolve, 1500))
    redial.stop()
    assert.equal(dials, 1)
  })
})

describe('Redial, of peers that come under ever new ids', () => {
  it('calls so many that were lost at most, and each that it was told of for ever', async () => {
    const redial = new Redial()
    const dialled = new Set<string>()
    const target = (name: string) => ({
      connected: () => false,
      dial: async () => {
        dialled.add(name)
      }
    })
    redial.add('bootstrap', target('bootstrap'))
    for (let n = 0; n < 1000; n++) redial.add(`lost ${n}`, { ...target(`lost ${n}`), forMs: 60_000 })
    redial.start()
    redial.stop()
    assert.equal(dialled.size, 257)
    assert.ok(dialled.has('bootstrap') && dialled.has('lost 999') && !dialled.has('lost 0'))
  })
})

describe('addresses', () => {
  it('put loopback last and name their peer', () => {
    assert.deepEqual(byReach(['/ip4/127.0.0.1/tcp/1', '/ip4/10.0.0.2/tcp/1', '/ip6/::1/tcp/1']), [
      '/ip4/10.0.0.2/tcp/1',
      '/ip4/127.0.0.1/tcp/1',
      '/ip6/::1/tcp/1'
    ])
    const peer = '12D3KooWK5dmnYwBvLocrCHQ6nJjdrcFbM26LQTh3D15NGFmCBW5'
    assert.equal(peerInAddress(parseAddress(`/ip4/10.0.0.2/tcp/1/p2p/${peer}`)), peer)
    assert.equal(peerInAddress(parseAddress('/ip4/10.0.0.2/tcp/1')), undefined)
  })
})
