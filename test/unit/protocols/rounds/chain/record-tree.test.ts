import assert from 'node:assert/strict'
import { fateOf } from '../../../../../protocols/rounds/chain/fates.ts'
import {
  acceptedAt,
  ancestorAt,
  commonAncestor,
  genesisTree,
  knownAt,
  pathToReady,
  plant,
  prune,
  type RecordTree,
  recentAuthors,
  type TreeRecord
} from '../../../../../protocols/rounds/chain/record-tree.ts'

function grow(tree: RecordTree, parent: TreeRecord, cid: string, peers: string[] = ['A']): TreeRecord {
  const record = { run: 'run', round: parent.round + 1, parent: parent.cid, contributions: [], anchor: cid, closer: 'A' }
  const entry = plant(tree, parent, cid, record, 0)
  entry.status = 'valid'
  entry.parts = peers.map(peer => ({ cid: `${peer}${record.round}`, age: 0, peer, tokens: 1 }))
  entry.recent = [peers, ...parent.recent].slice(0, 2)
  return entry
}

function chain(tree: RecordTree, from: TreeRecord, length: number, name: string): TreeRecord {
  let at = from
  for (let n = 0; n < length; n++) at = grow(tree, at, `${name}${at.round + 1}`)
  return at
}

describe('the record tree', () => {
  let tree: RecordTree
  beforeEach(() => {
    tree = genesisTree('run', 'anchor0', ['G'])
  })

  it('recentAuthors() are those of the last k records; record 0 has the peers that the manifest names', () => {
    assert.deepEqual(recentAuthors(tree.root), ['G'])
    const one = grow(tree, tree.root, 'r1', ['A', 'B'])
    assert.deepEqual(recentAuthors(one), ['A', 'B', 'G'])
    assert.deepEqual(recentAuthors(grow(tree, one, 'r2', ['B', 'C'])), ['B', 'C', 'A'])
  })

  it('acceptedAt() tells whose work the history has, which being named in the manifest is not, before and after prune()', () => {
    const one = grow(tree, tree.root, 'r1', ['A', 'Z'])
    const head = chain(tree, one, 20, 'r')
    const facts = () => ['Z', 'G', 'X'].map(peer => [acceptedAt(tree, head, peer), knownAt(tree, head, peer)])
    const expected = [
      [true, true],
      [false, true],
      [false, false]
    ]
    assert.deepEqual(facts(), expected)
    prune(tree, head, head, [], 5, 3)
    assert.deepEqual(facts(), expected)
    assert.equal(acceptedAt(tree, grow(tree, head, 'last', ['G']), 'G'), true)
  })

  it('commonAncestor() and ancestorAt() find the way back', () => {
    const fork = chain(tree, tree.root, 3, 'r')
    const left = chain(tree, fork, 2, 'left')
    const right = chain(tree, fork, 5, 'right')
    assert.equal(commonAncestor(left, right), fork)
    assert.equal(commonAncestor(right, fork), fork)
    assert.equal(ancestorAt(right, 3), fork)
    assert.equal(ancestorAt(right, 9), null)
  })

  it('pathToReady() names what is still to compute, oldest first', () => {
    const one = grow(tree, tree.root, 'r1')
    one.ready = true
    const tip = chain(tree, one, 3, 'r')
    assert.deepEqual(
      pathToReady(tip).map(({ round }) => round),
      [2, 3, 4]
    )
    assert.deepEqual(pathToReady(one), [])
  })

  it('prune() moves the root, keeps whom the history knew, and forgets dead branches', () => {
    const one = grow(tree, tree.root, 'r1', ['A', 'Z'])
    grow(tree, one, 'dead')
    const head = chain(tree, one, 20, 'r')
    const young = grow(tree, head.parent!, 'young')
    prune(tree, head, head, [], 5, 3)
    assert.equal(tree.root.round, head.round - 5)
    assert.equal(tree.root.parent, null)
    assert.equal(tree.byCid.size, 7)
    assert.equal(tree.byCid.get('young'), young)
    assert.ok(knownAt(tree, head, 'Z') && knownAt(tree, head, 'G') && !knownAt(tree, head, 'X'))
  })

  it('prune() does not forget a branch that may yet win, nor what lies before its fork', () => {
    const fork = chain(tree, tree.root, 2, 'r')
    const target = grow(tree, fork, 'heavy')
    const held = grow(tree, fork, 'of another')
    const head = chain(tree, fork, 30, 'light')
    prune(tree, head, target, [held], 5, 3)
    assert.equal(tree.root, fork)
    assert.deepEqual(
      fork.children.map(({ cid }) => cid),
      ['heavy', 'of another', 'light3']
    )
  })

  describe('fateOf()', () => {
    const own = { cid: 'A3', round: 3, parent: 'r2' }
    it('is open until its round closes, then included, late or lost', () => {
      const two = chain(tree, tree.root, 2, 'r')
      assert.equal(fateOf(two.parent!, own), null)
      assert.equal(fateOf(two, own), null)
      assert.equal(fateOf(grow(tree, two, 'with', ['A', 'B']), own), 'included')
      const without = grow(tree, two, 'without', ['B'])
      assert.equal(fateOf(without, own), 'late')
      const after = grow(tree, without, 'after', ['B'])
      assert.equal(fateOf(after, own), 'lost')
      after.parts.push({ cid: 'A3', age: 1, peer: 'A', tokens: 1 })
      assert.equal(fateOf(after, own), 'included')
    })
    it('is lost when the head is on another branch, or its round is older than memory', () => {
      const one = grow(tree, tree.root, 'r1')
      const other = chain(tree, one, 4, 'other')
      assert.equal(fateOf(other, own), 'lost')
      prune(tree, other, other, [], 1, 1)
      assert.equal(fateOf(other, own), 'lost')
    })
  })
})
