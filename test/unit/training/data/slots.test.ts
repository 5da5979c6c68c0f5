import assert from 'node:assert/strict'
import { assignSlots, countOverlap } from '../../../../training/data/slots.ts'

const order = (peer: string, contributors: string[], slots = 160, epoch = 0) => [
  ...assignSlots({ slots, epoch, seed: 7, contributors, peer })
]

describe('assignSlots()', () => {
  it('deals fifteen of sixteen slots to the contributors, whatever their order', () => {
    const [a, b] = [order('a', ['a', 'b']), order('b', ['b', 'a', 'b'])]
    assert.deepEqual([a.length, b.length], [75, 75])
    assert.equal(countOverlap([a, b]), 0)
  })

  it('gives newcomers the reserved slots, each in an order of its own', () => {
    const [dealt, x, y] = [order('a', ['a']), order('x', ['a']), order('y', ['a'])]
    assert.equal(x.length, 10)
    assert.notDeepEqual(x, y)
    assert.deepEqual(x.toSorted(), y.toSorted())
    assert.equal(countOverlap([dealt, x]), 0)
    assert.equal(countOverlap([x.slice(0, 6), y.slice(0, 6)]) > 0, true)
  })

  it('leaves nobody without a slot', () => {
    const many = Array.from({ length: 50 }, (_, i) => `peer${i}`)
    assert.ok(many.every(peer => order(peer, many, 3).length > 0))
    assert.deepEqual(order('x', [], 1), [0])
  })

  it('reserves other slots in another epoch', () => {
    assert.notDeepEqual(order('x', ['a'], 160, 0).toSorted(), order('x', ['a'], 160, 1).toSorted())
  })
})
