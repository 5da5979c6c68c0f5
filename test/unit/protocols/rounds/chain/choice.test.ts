import assert from 'node:assert/strict'
import { chooseHead } from '../../../../../protocols/rounds/chain/choice.ts'
import { genesisTree, plant, type RecordTree, type TreeRecord } from '../../../../../protocols/rounds/chain/record-tree.ts'
import { branchWeight, recordWeight } from '../../../../../protocols/rounds/chain/weight.ts'
import { closingOrder } from '../../../../../protocols/rounds/closing.ts'

/** A valid record by `closer` with so many tokens of each author. */
function grow(tree: RecordTree, parent: TreeRecord, cid: string, closer: string, tokens: { [peer: string]: number }): TreeRecord {
  const record = { run: 'run', round: parent.round + 1, parent: parent.cid, contributions: [], anchor: `anchor of ${cid}`, closer }
  const entry = plant(tree, parent, cid, record, 0)
  entry.status = 'valid'
  entry.ready = true
  entry.parts = Object.entries(tokens).map(([peer, count]) => ({ cid: `${cid} ${peer}`, age: 0, peer, tokens: count }))
  entry.recent = [Object.keys(tokens), ...parent.recent].slice(0, 3)
  return entry
}

const all = (): boolean => true
const newTree = (genesis = ['A', 'B', 'C']): RecordTree => genesisTree('run', 'anchor0', genesis)

describe('chooseHead()', () => {
  it('follows the only chain to its tip', () => {
    const tree = newTree()
    const one = grow(tree, tree.root, 'r1', 'A', { A: 1, B: 1 })
    const two = grow(tree, one, 'r2', 'B', { A: 1, B: 1 })
    assert.equal(chooseHead(tree, 'run', all), two)
  })

  it('takes the heavier branch, not the longer one', () => {
    const tree = newTree()
    const light = grow(tree, tree.root, 'light', 'A', { A: 5, B: 5 })
    grow(tree, grow(tree, light, 'light 2', 'A', { A: 5, B: 5 }), 'light 3', 'A', { A: 5, B: 5 })
    const heavy = grow(tree, tree.root, 'heavy', 'C', { A: 20, C: 20 })
    assert.equal(chooseHead(tree, 'run', all), heavy)
  })

  it('counts only authors that the history before the fork knew', () => {
    const tree = newTree()
    const shared = grow(tree, tree.root, 'shared', 'A', { A: 1, B: 1 })
    const honest = grow(tree, shared, 'honest', 'A', { A: 10, B: 10 })
    // A thousand names that cost nothing, and what they work later on their own branch.
    const minted = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`S${n}`, 1_000]))
    const strange = grow(tree, shared, 'strange', 'B', { B: 10, ...minted })
    grow(tree, strange, 'strange 2', 'B', minted)
    assert.equal(chooseHead(tree, 'run', all), honest)
    // Had they been accepted before the fork, they would count.
    const later = grow(tree, honest, 'later', 'A', { A: 1, S1: 1 })
    grow(tree, later, 'a', 'A', { A: 10 })
    const b = grow(tree, later, 'b', 'B', { S1: 11 })
    assert.equal(chooseHead(tree, 'run', all), b)
  })

  it('counts the peers that the manifest names at a fork in round 1', () => {
    const tree = newTree(['A'])
    grow(tree, tree.root, 'strangers', 'X', { X: 100, Y: 100 })
    const named = grow(tree, tree.root, 'named', 'A', { A: 1, X: 1 })
    assert.equal(chooseHead(tree, 'run', all), named)
  })

  it("of equally heavy siblings takes the better-ranked closer's, then the lower CID", () => {
    const order = closingOrder('run', 1, new Set(['A', 'B', 'C']), [])
    const tree = newTree()
    grow(tree, tree.root, 'a of the second', order[1]!, { A: 1, B: 1 })
    const first = grow(tree, tree.root, 'z of the first', order[0]!, { A: 1, B: 1 })
    assert.equal(chooseHead(tree, 'run', all), first)
    const again = grow(tree, tree.root, 'y of the first', order[0]!, { A: 1, C: 1 })
    assert.equal(chooseHead(tree, 'run', all), again)
  })

  it('puts closers that are not ranked behind all that are', () => {
    const order = closingOrder('run', 1, new Set(['A', 'B', 'C']), ['X', 'Y', 'Z'])
    const tree = newTree()
    grow(tree, tree.root, 'a', order[3]!, { A: 1, X: 1, Y: 1, Z: 1 })
    const last = grow(tree, tree.root, 'b', order[2]!, { A: 1, B: 0 })
    assert.equal(chooseHead(tree, 'run', all), last)
  })

  it('leaves out what does not count, with all that grew on it', () => {
    const tree = newTree()
    const bad = grow(tree, tree.root, 'bad', 'A', { A: 50, B: 50 })
    grow(tree, bad, 'bad 2', 'A', { A: 50, B: 50 })
    const good = grow(tree, tree.root, 'good', 'B', { A: 1, B: 1 })
    assert.equal(
      chooseHead(tree, 'run', record => record !== bad),
      good
    )
  })

  it('does not depend on the order in which records came', () => {
    const facts = [
      ['r1', 'run', 'A', { A: 3, B: 3 }],
      ['r1b', 'run', 'B', { A: 3, B: 3 }],
      ['r2', 'r1', 'A', { A: 1, C: 9 }],
      ['r2b', 'r1', 'C', { B: 10 }],
      ['r2c', 'r1b', 'C', { A: 5, C: 4 }],
      ['r3', 'r2b', 'B', { X: 100, A: 1 }]
    ] as const
    const heads = new Set<string>()
    for (let shift = 0; shift < facts.length; shift++) {
      const tree = newTree()
      const waiting = [...facts.slice(shift), ...facts.slice(0, shift)].reverse()
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const parent = tree.byCid.get(next[1])
        if (parent === undefined) waiting.push(next)
        else grow(tree, parent, next[0], next[2], next[3] as unknown as { [peer: string]: number })
      }
      heads.add(chooseHead(tree, 'run', all).cid)
    }
    assert.equal(heads.size, 1)
  })
})

describe('branchWeight()', () => {
  it('is that of the heaviest chain, not of the whole branch', () => {
    const tree = newTree()
    const trunk = grow(tree, tree.root, 'trunk', 'A', { A: 1 })
    grow(tree, trunk, 'left', 'A', { A: 5, X: 100 })
    grow(tree, grow(tree, trunk, 'right', 'A', { A: 3 }), 'right 2', 'A', { B: 4 })
    const known = (peer: string): boolean => peer !== 'X'
    assert.equal(branchWeight(trunk, known, all), 8)
    assert.equal(
      branchWeight(trunk, known, record => record.cid !== 'right 2'),
      6
    )
    assert.equal(recordWeight(trunk.children[0]!.parts, all), 105)
  })
})
