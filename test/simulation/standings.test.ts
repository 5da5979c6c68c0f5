// Whom a node trusts is its own matter: whoever shuns or watches whom, all agree, and nobody but the shunned is held up.
import assert from 'node:assert/strict'
import type { SimNode } from './node.ts'
import { Random } from './random.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env.SHOAL_SIM_SEEDS ?? 4)

describe('standings in simulation', function () {
  this.timeout(600_000)

  for (let seed = 1; seed <= SEEDS; seed++) {
    it(`nodes that distrust one another at random agree (seed ${seed})`, () => {
      const random = new Random(seed * 7_919)
      const nodes = 4 + (seed % 5)
      const world = new World({ seed, nodes, loss: 0.02 })
      for (let change = 0; change < 12; change++) {
        world.run(random.between(3_000, 15_000))
        const node = random.pick(world.nodes)
        const standing = random.pick(['good', 'watched', 'shunned', 'shunned'] as const)
        node.tell({ type: 'standing', peer: random.pick(world.nodes).peer, standing })
      }
      assert.deepEqual(world.settle(60_000, 60_000), [])
      assert.equal(world.heads().length, 1)
    })
  }

  it('a node that shuns a member of the others follows their records with its work in them, and closes its own without', () => {
    const world = new World({ seed: 11, nodes: 5 })
    world.run(30_000)
    const [shunning, shunned] = [world.nodes[1]!, world.nodes[2]!]
    shunning.tell({ type: 'standing', peer: shunned.peer, standing: 'shunned' })
    const before = world.lowestRound()
    world.run(240_000)
    assert.ok(world.lowestRound() >= before + 20, `${world.lowestRound() - before} rounds`)
    const records = recordsAfter(shunning, before)
    const has = ({ contributions }: { contributions: string[] }) =>
      contributions.some(cid => shunning.disk.contributions.get(cid)?.peer === shunned.peer)
    const others = records.filter(({ closer }) => closer !== shunning.peer)
    assert.ok(others.filter(has).length > others.length / 2, 'the work of the shunned is in the records of the others')
    assert.deepEqual(world.settle(30_000, 60_000), [])
  })

  it('nobody waits for a watched node that is slow, and its work still counts', () => {
    const world = new World({ seed: 12, nodes: 4, stepMs: index => (index === 3 ? 700 : 100) })
    const slow = world.nodes[3]!
    for (const node of world.nodes) if (node !== slow) node.tell({ type: 'standing', peer: slow.peer, standing: 'watched' })
    world.run(200_000)
    // Waited for, a round lasts to the deadline of 20 s.
    assert.ok(world.lowestRound() >= 20, `round ${world.lowestRound()}`)
    assert.deepEqual(world.settle(60_000, 60_000), [])
  })
})

function recordsAfter(node: SimNode, round: number) {
  const records = []
  for (let at = node.head; at !== 'run'; ) {
    const stored = node.disk.records.get(at)!
    if (stored.record.round <= round) break
    records.push(stored.record)
    at = stored.record.parent
  }
  return records
}
