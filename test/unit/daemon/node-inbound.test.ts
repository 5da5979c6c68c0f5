import assert from 'node:assert/strict'
import { InboundStreams, STREAMS_IN_ALL, STREAMS_PER_PEER } from '../../../daemon/node-inbound.ts'

const stream = (peer: string, moved = 0) => ({ peer, movedMs: () => moved })

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
})
