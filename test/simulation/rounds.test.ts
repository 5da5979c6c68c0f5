// The rules of rounds, lived through. SHOAL_SIM_SEEDS=5000 lives through that many storms of each kind; SHOAL_SIM_SEED=342 through that one alone.
import assert from 'node:assert/strict'
import { closeEarly, type EarlyClosersOptions } from './early-closers.ts'
import { copying } from './liars/copying.ts'
import { equivocating } from './liars/equivocating.ts'
import { withholding } from './liars/withholding.ts'
import type { Phase, SimNode } from './node.ts'
import { afterStorm, oddStorm, restartAll, roughStorm } from './storms.ts'
import { World } from './world.ts'

const ONE_SEED = process.env.SHOAL_SIM_SEED
const SEEDS = Number(process.env.SHOAL_SIM_SEEDS ?? 6)

/** Seeds on which the rules once failed, with what was wrong. */
const KEPT_ROUGH: { [seed: number]: string } = {
  2: 'a rival took in what was made after the first record of its round',
  27: 'a record without parts shut out all that had grown on it',
  38: 'a joiner stayed at the genesis behind a record whose parts were gone',
  40: 'a node that was down for long could not pass a record whose parts were gone',
  198: 'a contribution whose body was lost in a crash was never fetched again',
  342: 'the envelope of an old part was refused as stale'
}
const KEPT_ODD: { [seed: number]: string } = {
  25: 'a joiner asked for an anchor that nobody keeps',
  26: 'three nodes stayed behind a short retention',
  38: 'a heavier branch was forgotten because it was shorter',
  94: 'two nodes stayed behind a short retention',
  1118: 'a record that its closer had shown and closed with again was not on its disk after a kill',
  1192: 'what had lost a race in each of sixteen rounds was taken for a leak',
  1751: 'old work of its own that came with a branch had a node forget to watch its newest',
  2028: 'nobody followed a branch whose first record beyond theirs could not be had',
  2083: 'a branch that parted too long ago was looked at too early, and not again for a minute',
  2045: 'two long branches that were remembered in full were taken for a leak',
  2070: 'nobody followed a branch of two records whose first could not be had',
  3072: 'a node that was behind asked for the envelopes of one record after the other',
  3116: 'contributions to a branch that lost were kept'
}

const seeds = (kept: { [seed: number]: string }): number[] =>
  ONE_SEED === undefined ? [...Object.keys(kept).map(Number), ...Array.from({ length: SEEDS }, (_, i) => 1_000 + i)] : [Number(ONE_SEED)]

describe('rounds in simulation', function () {
  this.timeout(600_000)

  describe('in calm', () => {
    for (const nodes of [1, 2, 3, 4, 8]) {
      it(`${nodes} nodes close a round whenever all have contributed, without a fork`, () => {
        const world = new World({ seed: nodes, nodes, rules: { quorum: Math.min(2, nodes) } })
        world.run(120_000)
        // 50 steps of at most 140 ms, seen every half second, and the exchange.
        assert.ok(world.lowestRound() >= 12, `round ${world.lowestRound()}`)
        assert.deepEqual(
          world.nodes.map(node => node.forks),
          world.nodes.map(() => 0)
        )
        assert.deepEqual(world.settle(30_000, 30_000), [])
      })
    }

    it('50 nodes agree', () => {
      const world = new World({ seed: 1, nodes: 50, innerSteps: 100, stepMs: () => 100 })
      assert.ok(
        world.until(60_000, () => world.lowestRound() >= 2),
        `round ${world.lowestRound()}`
      )
      world.training = false
      world.run(10_000)
      assert.equal(world.heads().length, 1)
      const { contributors } = lastRecord(world.nodes[0]!)
      assert.ok(contributors >= 48, `${contributors} contributors`)
      for (const node of world.up) world.checks.ended(node)
      assert.deepEqual(world.problems, [])
    })

    it('slow nodes are waited for to the deadline and no longer, and take part', () => {
      // Two take 50 steps in 5 s, one in 25 s: it contributes by the deadline.
      const world = new World({ seed: 3, nodes: 3, stepMs: index => (index === 2 ? 500 : 100) })
      world.run(200_000)
      assert.ok(world.lowestRound() >= 9, `round ${world.lowestRound()}`)
      assert.equal(lastRecord(world.nodes[0]!).contributors, 3)
      assert.deepEqual(world.settle(60_000, 60_000), [])
    })

    it('an observer delays nobody', () => {
      const world = new World({ seed: 4, nodes: 4, observers: [3] })
      world.run(120_000)
      assert.ok(world.lowestRound() >= 12, `round ${world.lowestRound()}`)
      assert.deepEqual(world.settle(30_000, 30_000), [])
    })

    it('memory stays within bounds over hundreds of rounds', () => {
      const world = new World({ seed: 5, nodes: 3, innerSteps: 5, loss: 0.02 })
      world.run(700_000)
      assert.ok(world.lowestRound() >= 400, `round ${world.lowestRound()}`)
      assert.deepEqual(world.settle(10_000, 60_000), [])
    })
  })

  describe('SIGKILL', () => {
    const phases: Phase[] = [
      'training',
      'encoding',
      'stored',
      'announced',
      'fetching',
      'closing',
      'closed',
      'published',
      'computing',
      'storing',
      'adopting'
    ]
    const onlyCloser: Phase[] = ['closing', 'closed', 'published']
    const onlyMember: Phase[] = ['computing', 'storing']
    for (const nodes of [2, 3, 4]) {
      for (const role of ['closer', 'member'] as const) {
        it(`of a ${role} among ${nodes} in any phase: the others go on in time, and it comes back`, () => {
          for (const phase of phases) {
            if ((role === 'closer' ? onlyMember : onlyCloser).includes(phase)) continue
            const world = new World({ seed: nodes, nodes })
            const killed = killAt(world, phase, role)
            assert.ok(killed !== null, `nobody was in phase ${phase}`)
            const { deadlineMs, graceMs, fetchTimeoutMs } = world.rules
            const bound = deadlineMs + nodes * graceMs + fetchTimeoutMs
            const goesOn = world.until(bound, () => world.highestRound() > killed.round)
            // Two nodes of which one dies: below the quorum, unless the dead one's contribution is here.
            if (nodes > 2) assert.ok(goesOn, `${phase}: no round in ${bound} ms`)
            world.run(30_000)
            if (nodes === 2) assert.equal(world.up[0]!.view().waitingFor, 'waiting for 1 more', phase)
            assert.deepEqual(world.settle(60_000, 60_000), [], phase)
          }
        })
      }
    }
  })

  it('a node that joins at round 5 takes part', () => {
    const world = new World({ seed: 6, nodes: 3 })
    assert.ok(world.until(120_000, () => world.lowestRound() >= 4))
    const joiner = world.add()
    assert.ok(world.until(60_000, () => [...joiner.disk.fates.values()].includes('included')))
    assert.deepEqual(world.settle(60_000, 60_000), [])
  })

  it('who left for good while it was down does not come back', () => {
    const world = new World({ seed: 6, nodes: 4 })
    const node = world.nodes[3]!
    node.kill()
    world.lasting(10_000, () => node.start())
    node.leave()
    world.run(20_000)
    assert.deepEqual(world.settle(60_000, 60_000), [])
    assert.equal(node.up, false)
  })

  it('a node that is stopped past several deadlines closes nothing before it has asked, and goes on', () => {
    const world = new World({ seed: 7, nodes: 4 })
    world.run(40_000)
    const node = world.nodes[1]!
    node.stop()
    world.run(100_000)
    const away = world.highestRound()
    node.resume()
    assert.ok(world.until(15_000, () => node.view().round >= away))
    assert.deepEqual(
      world.nodes.map(each => each.forks),
      [0, 0, 0, 0]
    )
    assert.deepEqual(world.settle(60_000, 60_000), [])
  })

  it('all killed and started again go on from where they were', () => {
    for (const nodes of [2, 3, 4]) {
      const world = new World({ seed: 8, nodes })
      world.run(63_000)
      const before = world.lowestRound()
      restartAll(world)
      assert.ok(world.lowestRound() >= before)
      assert.ok(world.until(60_000, () => world.lowestRound() > before + 1))
      assert.deepEqual(world.settle(60_000, 60_000), [])
    }
  })

  it('two halves that went on alone become one', () => {
    for (const nodes of [4, 6]) {
      const world = new World({ seed: 9, nodes })
      world.run(40_000)
      world.network.part(index => index % 2)
      world.run(150_000)
      assert.equal(world.heads().length, 2)
      assert.deepEqual(world.settle(60_000, 60_000), [])
      assert.ok(world.nodes.some(node => node.forks === 1))
    }
  })

  it('who went back to another branch and was told nothing of what it gave is a problem', () => {
    const world = new World({ seed: 9, nodes: 4 })
    world.run(40_000)
    world.network.part(index => index % 2)
    world.run(40_000)
    assert.deepEqual(world.settle(60_000, 60_000), [])
    const { fates } = world.nodes.find(({ forks }) => forks > 0)!.disk
    for (const [cid, fate] of fates) if (fate === 'lost') fates.delete(cid)
    world.checks.allEnded()
    assert.match(world.problems[0] ?? '', /what was acknowledged is in a record, or its author is told why not/)
  })

  it('halves that parted before all that they remember start over from disk and become one', () => {
    const world = new World({ seed: 11, nodes: 4, innerSteps: 5, keepRounds: 2, stepMs: () => 50 })
    world.run(10_000)
    world.network.part(index => index % 2)
    assert.ok(world.until(900_000, () => world.lowestRound() > 300))
    assert.deepEqual(world.settle(60_000, 60_000), [])
    assert.ok(world.reports.has('fork_too_old'))
  })

  it('halves that parted before all that they remember become one though nobody could look at the other at first, and neither grows', () => {
    const world = new World({ seed: 11, nodes: 4, innerSteps: 5, keepRounds: 2, stepMs: () => 50 })
    world.run(10_000)
    world.network.part(index => index % 2)
    assert.ok(world.until(900_000, () => world.lowestRound() > 300))
    world.training = false
    world.run(60_000)
    world.network.heal()
    assert.ok(world.until(60_000, () => world.reports.has('fork_too_old')))
    for (const { disk } of world.nodes) disk.full = true
    world.run(60_000)
    assert.equal(world.heads().length, 2)
    for (const { disk } of world.nodes) disk.full = false
    assert.ok(world.until(180_000, () => world.heads().length === 1))
  })

  it('nobody starts over for who was away longer than all that they remember', () => {
    const world = new World({ seed: 12, nodes: 4, innerSteps: 5, keepRounds: 2, stepMs: () => 50 })
    world.run(10_000)
    const sleeper = world.nodes[3]!
    sleeper.sleep()
    assert.ok(world.until(900_000, () => world.highestRound() > 300))
    assert.deepEqual(world.settle(60_000, 60_000), [])
    assert.equal(world.highestRound() - world.lowestRound() < 2, true)
    assert.deepEqual(
      world.nodes.slice(0, 3).map(({ startsOver }) => startsOver),
      [0, 0, 0]
    )
  })

  it('nodes that withhold their bodies or sign two of everything stop nobody', () => {
    const world = new World({
      seed: 10,
      nodes: 6,
      conducts: new Map([
        [1, equivocating],
        [2, withholding]
      ])
    })
    world.run(300_000)
    assert.ok(world.lowestRound() >= 10, `round ${world.lowestRound()}`)
    assert.deepEqual(world.settle(120_000, 60_000), [])
  })

  it('a body shown twice stops nobody', () => {
    const world = new World({ seed: 12, nodes: 4, conducts: new Map([[3, copying]]), stepMs: index => (index === 3 ? 120 : 90) })
    world.run(120_000)
    const records = chainOf(world.nodes[0]!)
    assert.ok(records.some(({ bodies }) => new Set(bodies).size < bodies.length))
    assert.ok(world.lowestRound() >= 12, `round ${world.lowestRound()}`)
    assert.deepEqual(world.settle(30_000, 30_000), [])
  })

  describe('strangers who close every round at once', () => {
    /** Some time with them; the honest are all nodes but the last, which speaks for the strangers. */
    const withEarlyClosers = (nodes: number, options: EarlyClosersOptions = {}): World => {
      const world = new World({ seed: nodes, nodes: nodes + 1, observers: [nodes], rules: { maxTokensPerRound: 3_200 } })
      closeEarly(world, world.nodes[nodes]!, options)
      world.run(200_000)
      return world
    }
    const honestIn = (world: World, honest: readonly SimNode[]): void => {
      const peers = honest.map(node => node.peer)
      for (const { round, authors } of chainOf(honest[0]!)) {
        assert.deepEqual(
          peers.filter(peer => !authors.includes(peer)),
          [],
          `round ${round} went on without them`
        )
      }
      assert.deepEqual(
        honest.map(node => node.forks),
        honest.map(() => 0)
      )
      assert.deepEqual(world.problems, [])
    }

    for (const nodes of [2, 3, 4, 8]) {
      it(`shut out none of ${nodes}, and cost them a grace a round at most`, () => {
        const world = withEarlyClosers(nodes)
        // 7 s of training and exchange, and a grace.
        assert.ok(world.lowestRound() >= 20, `round ${world.lowestRound()}`)
        honestIn(world, world.nodes.slice(0, nodes))
      })
    }

    it('win nothing by showing a chain', () => {
      const world = withEarlyClosers(4, { depth: 3 })
      assert.ok(world.lowestRound() >= 20, `round ${world.lowestRound()}`)
      honestIn(world, world.nodes.slice(0, 4))
    })

    it('win nothing with a member who signs for them, as long as most members do not', () => {
      const world = withEarlyClosers(4, { colluders: [0] })
      assert.ok(world.lowestRound() >= 20, `round ${world.lowestRound()}`)
      honestIn(world, world.nodes.slice(1, 4))
    })
  })

  for (const [name, storm, kept] of [
    ['rough', roughStorm, KEPT_ROUGH],
    ['odd', oddStorm, KEPT_ODD]
  ] as const) {
    it(`after ${name} storms all agree, and rounds go on`, () => {
      for (const seed of seeds(kept)) {
        const problems = afterStorm(storm(seed))
        assert.deepEqual(problems, [], `SHOAL_SIM_SEED=${seed} lives through it again: ${problems[0]}`)
      }
    })
  }
})

function lastRecord(node: SimNode): { contributors: number } {
  return { contributors: node.disk.records.get(node.view().head)!.record.contributions.length }
}

/** Who gave what to each record of its chain, the newest first. */
function chainOf(node: SimNode): { round: number; authors: string[]; bodies: string[] }[] {
  return node.chain().map(({ record }) => {
    const parts = record.contributions.map(cid => node.disk.contributions.get(cid)!)
    return { round: record.round, authors: parts.map(({ peer }) => peer), bodies: parts.map(({ body }) => body) }
  })
}

/** Runs until a node with that role comes to that phase of round 3, and kills it there. */
function killAt(world: World, phase: Phase, role: 'closer' | 'member'): { node: SimNode; round: number } | null {
  let killed: { node: SimNode; round: number } | null = null
  world.onPhase = (node, at, round) => {
    if (killed !== null || at !== phase || round !== 3) return
    if (isCloser(node, phase) !== (role === 'closer')) return
    killed = { node, round: world.highestRound() }
    node.kill()
  }
  world.until(100_000, () => killed !== null)
  world.onPhase = () => {}
  return killed
}

function isCloser(node: SimNode, phase: Phase): boolean {
  if (phase === 'closing' || phase === 'closed' || phase === 'published') return true
  if (phase === 'computing' || phase === 'storing') return false
  if (phase === 'adopting') return node.rounds.head.closer === node.peer
  return node.view().ranks[0] === node.peer
}
