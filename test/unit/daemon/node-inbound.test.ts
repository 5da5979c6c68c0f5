import assert from 'node:assert/strict'
import { InboundStreams, STREAMS_IN_ALL, STREAMS_PER_PEER } from '../../../daemon/node-inbound.ts'

const stream = (peer: string, moved = 0, payer = peer) => ({ peer, payer: () => payer, movedMs: () => moved })

describe('streams that others opened', () => {
  it('are as many of one peer as it may have, over all its connections', () => {
    const open = new InboundStreams()
    for (let i = 0; i < STREAMS_PER_PEER; i++) assert.equal(open.add(stream('a')), null)
    const more = stream('a')
    assert.equal(open.add(more), more)
    assert.equal(open.add(stream('b')), null)
  })

  it('give way to others where their peer has the most, the one that is silent longest first', () => {
    const open = new InboundStreams(100)
    const silent = stream('greedy', 5)
    assert.equal(open.add(stream('quiet', 1)), null)
    assert.equal(open.add(silent), null)
    for (let i = 0; i < 98; i++) open.add(stream('greedy', 50))
    for (let i = 0; open.size < STREAMS_IN_ALL; i++) assert.equal(open.add(stream(`member-${i}`, 2)), null)
    assert.equal(open.add(stream('newcomer', 60)), silent)
    assert.equal(open.size, STREAMS_IN_ALL)
  })

  it('of strangers of one address give way to members, under however many names', () => {
    const open = new InboundStreams()
    const members = Array.from({ length: 10 }, (_, i) => [0, 1, 2].map(() => stream(`member-${i}`))).flat()
    for (const each of members) assert.equal(open.add(each), null)
    for (let i = 0; open.size < STREAMS_IN_ALL; i++) assert.equal(open.add(stream(`name-${i}`, i, '203.0.113.7')), null)
    for (let i = 0; i < 50; i++) assert.equal(open.add(stream(`more-${i}`, 1_000 + i, '203.0.113.7'))!.payer(), '203.0.113.7')
    for (let i = 0; i < 30; i++) assert.equal(open.add(stream(`newcomer-${i}`))!.payer(), '203.0.113.7')
  })

  it('of strangers of many addresses give way to members while they have more than half of the places', () => {
    const open = new InboundStreams()
    const members = Array.from({ length: 10 }, (_, i) => [0, 1, 2].map(() => stream(`member-${i}`))).flat()
    for (const each of members) assert.equal(open.add(each), null)
    for (let i = 0; open.size < STREAMS_IN_ALL; i++) assert.equal(open.add(stream(`name-${i}`, 1, `203.0.113.${i}`)), null)
    for (let i = 0; i < 34; i++) assert.match(open.add(stream(`late-${i}`))!.payer(), /^203/)
    assert.match(open.add(stream('last'))!.payer(), /^member/)
  })
})
