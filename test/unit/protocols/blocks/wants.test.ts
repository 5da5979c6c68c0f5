import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Wants } from '../../../../protocols/blocks/wants.ts'

describe('Wants', () => {
  it('asks each block of one holder until it is given back', () => {
    const wants = new Wants(['a', 'b', 'c'])
    assert.deepEqual(wants.take('x', 2), ['a', 'b'])
    assert.deepEqual(wants.take('y', 5), ['c'])
    assert.deepEqual(wants.take('y', 5), [])
    wants.release('x')
    assert.deepEqual(wants.take('y', 5), ['a', 'b'])
  })

  it('does not ask a holder again for what it does not have', () => {
    const wants = new Wants(['a', 'b'])
    wants.take('x', 1)
    wants.absent('x', 'a')
    assert.deepEqual(wants.take('x', 5), ['b'])
    assert.equal(wants.mayHelp('x'), true)
    wants.absent('x', 'b')
    assert.equal(wants.mayHelp('x'), false)
    assert.deepEqual(wants.take('y', 5), ['a', 'b'])
  })

  it('lets an idle holder ask for what others who lag owe, last first', () => {
    const wants = new Wants(['a', 'b', 'c'])
    wants.take('slow', 3)
    assert.deepEqual(
      wants.takeOwedByOthers('fast', 2, () => false),
      []
    )
    assert.deepEqual(
      wants.takeOwedByOthers('fast', 2, other => other === 'slow'),
      ['c', 'b']
    )
    assert.equal(wants.received('c', 10), true)
    assert.equal(wants.received('c', 10), false)
    wants.release('fast')
    assert.deepEqual(wants.take('other', 5), [], 'the slow one still owes b')
    wants.release('slow')
    assert.deepEqual(wants.take('other', 5), ['a', 'b'])
  })

  it('asks for about a window at once: many small blocks, few large ones', () => {
    const many = (size: number) => {
      const wants = new Wants(Array.from({ length: 5000 }, (_, n) => `${n}`))
      wants.take('x', 1)
      wants.received('0', size)
      return wants.allowance(1)
    }
    assert.equal(many(100), 512)
    assert.equal(many(1024 * 1024), 4)
    assert.equal(new Wants(['a', 'b', 'c', 'd']).allowance(2), 2)
  })

  it('loses no block and asks for none that is here, whatever holders do', () => {
    const holder = fc.constantFrom('x', 'y', 'z')
    const action = fc.tuple(fc.constantFrom('take', 'steal', 'receive', 'absent', 'release'), holder, fc.nat(5))
    fc.assert(
      fc.property(fc.array(action), actions => {
        const all = ['a', 'b', 'c', 'd', 'e', 'f']
        const wants = new Wants(all)
        const here = new Set<string>()
        const owed = new Map<string, string[]>([
          ['x', []],
          ['y', []],
          ['z', []]
        ])
        const gone = new Map<string, Set<string>>([
          ['x', new Set()],
          ['y', new Set()],
          ['z', new Set()]
        ])
        for (const [what, who, count] of actions) {
          const mine = owed.get(who)!
          if (what === 'take' || what === 'steal') {
            const taken = what === 'take' ? wants.take(who, count) : wants.takeOwedByOthers(who, count, () => true)
            for (const cid of taken) assert.ok(!here.has(cid) && !mine.includes(cid) && !gone.get(who)!.has(cid))
            mine.push(...taken)
          } else if (what === 'release') {
            wants.release(who)
            owed.set(who, [])
          } else {
            const cid = mine.shift()
            if (cid === undefined) continue
            if (what === 'absent') {
              wants.absent(who, cid)
              gone.get(who)!.add(cid)
            } else {
              assert.equal(wants.received(cid, 1), !here.has(cid))
              here.add(cid)
            }
          }
          assert.deepEqual(new Set(wants.open), new Set(all.filter(cid => !here.has(cid))))
        }
        for (const who of ['x', 'y', 'z']) wants.release(who)
        assert.deepEqual(new Set(wants.take('fresh', 10)), new Set(wants.open))
      })
    )
  })
})
