// The choice between records is a pure function of the set: whatever came first, whatever else is left out on losing branches.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { chooseHead } from '../../protocols/rounds/chain/choice.ts'
import { ancestorAt, genesisTree, plant, prune, type RecordTree } from '../../protocols/rounds/chain/record-tree.ts'
import { branchWeight } from '../../protocols/rounds/chain/weight.ts'

interface Sprout {
  parent: number
  closer: number
  tokens: number[]
}

const PEERS = ['A', 'B', 'C', 'D', 'X', 'Y']
const sprouts = fc.array(
  fc.record({ parent: fc.nat(20), closer: fc.nat(5), tokens: fc.array(fc.nat(3), { minLength: 6, maxLength: 6 }) }),
  { minLength: 1, maxLength: 20 }
)

/** Plants the same records in the order given; each names an earlier one as its parent. */
function treeOf(records: Sprout[], order: number[]): RecordTree {
  const tree = genesisTree('run', 'anchor', ['A', 'B', 'C'])
  const waiting = [...order]
  while (waiting.length > 0) {
    const next = waiting.shift()!
    const { parent: at, closer, tokens } = records[next]!
    const parent = tree.byCid.get(at >= next ? 'run' : `r${at}`)
    if (parent === undefined) {
      waiting.push(next)
      continue
    }
    const record = { run: 'run', round: parent.round + 1, parent: parent.cid, contributions: [], anchor: 'a', closer: PEERS[closer]! }
    const entry = plant(tree, parent, `r${next}`, record, 0)
    entry.status = 'valid'
    entry.parts = PEERS.map((peer, index) => ({ cid: `${next}${peer}`, age: 0 as const, peer, tokens: tokens[index]! })).filter(
      part => part.tokens > 0
    )
    entry.recent = [entry.parts.map(part => part.peer), ...parent.recent].slice(0, 3)
  }
  return tree
}

const all = (): boolean => true

describe('chooseHead()', () => {
  it('does not depend on the order of arrival', () => {
    fc.assert(
      fc.property(
        sprouts.chain(records =>
          fc.tuple(
            fc.constant(records),
            fc.shuffledSubarray(
              records.map((_, i) => i),
              { minLength: records.length }
            )
          )
        ),
        ([records, order]) => {
          const straight = treeOf(
            records,
            records.map((_, i) => i)
          )
          assert.equal(chooseHead(treeOf(records, order), 'run', all).cid, chooseHead(straight, 'run', all).cid)
        }
      )
    )
  })

  it('is a leaf, and at each fork on its way no sibling branch is heavier', () => {
    fc.assert(
      fc.property(sprouts, records => {
        const tree = treeOf(
          records,
          records.map((_, i) => i)
        )
        const head = chooseHead(tree, 'run', all)
        assert.equal(head.children.length, 0)
        for (let at = head; at.parent !== null; at = at.parent) {
          const known = new Set(['A', 'B', 'C'])
          for (let past = at.parent; past !== null; past = past.parent!) for (const part of past.parts) known.add(part.peer)
          const weigh = (record: typeof at): number => branchWeight(record, peer => known.has(peer), all)
          for (const sibling of at.parent.children) assert.ok(weigh(sibling) <= weigh(at))
        }
      })
    )
  })

  it('stays when the root moves up', () => {
    fc.assert(
      fc.property(sprouts, fc.nat(6), (records, window) => {
        const tree = treeOf(
          records,
          records.map((_, i) => i)
        )
        const head = chooseHead(tree, 'run', all)
        prune(tree, head, head, [], window, 100)
        assert.equal(chooseHead(tree, 'run', all), head)
        assert.equal(ancestorAt(head, tree.root.round), tree.root)
      })
    )
  })
})
