import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  advanceTwins,
  createTwins,
  decodeAnswer,
  decodeQuestion,
  encodeAnswer,
  encodeQuestion,
  type Who
} from '../../../../protocols/identity/index.ts'

const who = (session: number, host = `host ${session}`): Who => ({ session, host, addresses: [`/ip4/10.0.0.${session % 250}/tcp/1`] })

describe('the rule of identities that live twice', () => {
  it('finds a peer whose connections lead to two processes, and lets it go when one answers alone', () => {
    const state = createTwins('me', who(1))
    advanceTwins(state, { type: 'answers', peer: 'anna', whos: [who(5), who(5)] }, 0)
    assert.equal(state.found.size, 0, 'two connections to one process')
    advanceTwins(state, { type: 'answers', peer: 'anna', whos: [who(5), who(6)] }, 0)
    assert.deepEqual(
      state.found.get('anna')!.whos.map(({ host }) => host),
      ['host 5', 'host 6']
    )
    advanceTwins(state, { type: 'answers', peer: 'anna', whos: [] }, 0)
    assert.equal(state.found.size, 1, 'no answer says nothing')
    advanceTwins(state, { type: 'answers', peer: 'anna', whos: [who(6)] }, 0)
    assert.equal(state.found.size, 0)
  })

  it('learns that it lives twice itself however many others do', () => {
    const state = createTwins('me', who(1))
    for (let n = 0; n < 1_000; n++) advanceTwins(state, { type: 'answers', peer: `peer ${n}`, whos: [who(5), who(6)] }, 0)
    advanceTwins(state, { type: 'told', by: 'anna', whos: [who(1), who(9)] }, 0)
    assert.equal(state.found.get('me')?.by, 'anna')
    assert.ok(state.found.size <= 65)
  })

  it('believes that it lives twice only where its own process is one of them, and for a while', () => {
    const state = createTwins('me', who(1))
    advanceTwins(state, { type: 'told', by: 'anna', whos: [] }, 0)
    advanceTwins(state, { type: 'told', by: 'anna', whos: [who(8), who(9)] }, 0)
    advanceTwins(state, { type: 'told', by: 'anna', whos: [who(1)] }, 0)
    assert.equal(state.found.size, 0)
    advanceTwins(state, { type: 'told', by: 'anna', whos: [who(1), who(9)] }, 0)
    assert.deepEqual([state.found.get('me')!.by, state.found.get('me')!.whos.length], ['anna', 2])
    advanceTwins(state, { type: 'tick' }, 110_000)
    assert.equal(state.found.size, 1)
    advanceTwins(state, { type: 'tick' }, 130_000)
    assert.equal(state.found.size, 0)
  })

  it('remembers a bounded number, whoever says what', () => {
    const state = createTwins('me', who(1))
    for (let n = 0; n < 1_000; n++) {
      const whos = Array.from({ length: 10 }, (_, i) => who(n * 10 + i + 2))
      advanceTwins(state, { type: 'answers', peer: `peer ${n}`, whos }, n)
    }
    assert.equal(state.found.size, 64)
    assert.ok([...state.found.values()].every(({ whos }) => whos.length <= 4))
  })

  it('is asked and answered in messages that come back as they were, and nothing else is taken', () => {
    assert.deepEqual(decodeAnswer(encodeAnswer(who(7))), who(7))
    assert.deepEqual(decodeQuestion(encodeQuestion([who(7), who(8)])), [who(7), who(8)])
    assert.throws(() => decodeAnswer(encodeAnswer({ ...who(1), host: 'a\u001b[2J' })), { code: 'bad_message' })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        for (const decode of [decodeAnswer, decodeQuestion]) assert.throws(() => decode(bytes), { name: 'ProtocolError' })
      })
    )
  })
})
