import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { type MeshNews, MeshRunner } from '../../../../cli/mesh/runner.ts'
import { scenarioOf } from '../../../../cli/mesh/scenario.ts'
import { FakeStarter } from './fake-mesh.ts'

/** Looks until it holds; the test's own time limit ends a wait for ever. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await delay(2)
}

describe('MeshRunner', () => {
  let starter: FakeStarter
  let news: MeshNews[]
  let runner: MeshRunner
  const stop = new AbortController()
  const { signal } = stop

  const newRunner = (scenario: Record<string, unknown>): MeshRunner => {
    starter = new FakeStarter()
    news = []
    runner = new MeshRunner(
      { starter, faults: starter, seconds: () => 1.5, news: item => news.push(item) },
      {
        scenario: scenarioOf(scenario),
        spec: {},
        dataOf: index => [`data${index}`],
        engineOf: index => scenarioOf(scenario).engines[index]
      }
    )
    return runner
  }
  const adoptEverywhere = (round: number): void => {
    for (const state of runner.states) if (state.life === 'alive') starter.node(state.index).adopt(round)
  }
  afterEach(() => runner.close())

  it('starts the first node alone, gives its address to the others, and lets all join the run it created', async () => {
    const driving = newRunner({ nodes: 3, rounds: 1 }).drive({ signal })
    await until(() => starter.started.length === 3 && starter.started.every(node => node.calls.some(call => call.startsWith('join'))))
    assert.deepEqual(starter.node(1).options.bootstrap, [])
    assert.deepEqual(starter.node(3).options.bootstrap, starter.node(1).addresses)
    assert.deepEqual(starter.node(1).calls, ['create', 'join data1'])
    assert.deepEqual(starter.node(2).calls, ['join data2'])
    adoptEverywhere(1)
    await driving
    assert.equal(runner.firstRoundSeconds, 1.5)
  })

  it('lets a node join with the engine that the scenario names', async () => {
    const driving = newRunner({ nodes: 2, rounds: 1, engines: { 2: 'wasm' } }).drive({ signal })
    await until(() => starter.started.length === 2 && starter.started.every(node => node.calls.some(call => call.startsWith('join'))))
    assert.deepEqual(starter.node(1).calls, ['create', 'join data1'])
    assert.deepEqual(starter.node(2).calls, ['join data2 on wasm'])
    adoptEverywhere(1)
    await driving
  })

  it('kills at a round and restarts at a later one, from the same home and without joining again', async () => {
    const steps = [
      { at: { round: 2 }, do: 'kill', node: 3 },
      { at: { round: 4 }, do: 'restart', node: 3 }
    ]
    const driving = newRunner({ nodes: 3, rounds: 5, steps }).drive({ signal })
    await until(() => runner.states.every(state => state.life === 'alive') && starter.started.length === 3)
    adoptEverywhere(1)
    await delay(5)
    assert.deepEqual(starter.node(3).signals, [])
    starter.node(1).adopt(2)
    await until(() => starter.node(3).signals.length > 0)
    assert.deepEqual(starter.node(3).signals, ['SIGKILL'])
    starter.node(1).adopt(3)
    await delay(5)
    assert.equal(starter.lives(3).length, 1)
    starter.node(1).adopt(4)
    await until(() => starter.lives(3).length === 2 && runner.states[2]!.life === 'alive')
    assert.deepEqual(starter.node(3).calls, [])
    starter.node(2).adopt(5)
    await driving
    assert.deepEqual(
      runner.faults.map(({ do: what, node, round }) => ({ what, node, round })),
      [
        { what: 'kill', node: 3, round: 2 },
        { what: 'restart', node: 3, round: 4 }
      ]
    )
  })

  it('does steps of one node in the order of the file even where a later one is due first', async () => {
    const steps = [
      { at: { phase: 'closing', round: 2, node: 2 }, do: 'kill', node: 2 },
      { at: { round: 1 }, do: 'restart', node: 2 }
    ]
    const driving = newRunner({ nodes: 2, rounds: 2, steps }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    assert.equal(starter.node(2).options.holdPhase, 'closing@2')
    assert.equal(starter.node(1).options.holdPhase, undefined)
    adoptEverywhere(1)
    starter.node(2).emit({ type: 'phase', round: 2, data: { phase: 'closing' } })
    await delay(5)
    assert.deepEqual(starter.node(2).signals, [], 'in the phase, not yet held there')
    starter.node(2).emit({ type: 'phase', round: 2, data: { phase: 'closing', held: true } })
    await until(() => starter.lives(2).length === 2)
    assert.equal(starter.node(2).options.holdPhase, undefined, 'the second life is not held')
    assert.equal(runner.faults[0]!.phase, 'closing')
    starter.node(1).adopt(2)
    await driving
  })

  it('aims at whichever node holds itself as the closer, and does later steps to that node', async () => {
    const steps = [
      { at: { phase: 'closing', round: 2 }, do: 'kill', node: 'closer' },
      { at: { round: 3 }, do: 'restart', node: 'closer' }
    ]
    const driving = newRunner({ nodes: 3, rounds: 3, steps }).drive({ signal })
    await until(() => starter.started.length === 3 && runner.states.every(state => state.life === 'alive'))
    for (const node of starter.started) assert.equal(node.options.holdPhase, 'closing@2:closer')
    adoptEverywhere(1)
    starter.node(1).emit({ type: 'phase', round: 2, data: { phase: 'closing', held: false } })
    starter.node(3).emit({ type: 'phase', round: 2, data: { phase: 'closing', held: true, closer: true } })
    await until(() => starter.node(3).signals.length > 0)
    starter.node(1).adopt(3)
    await until(() => starter.lives(3).length === 2)
    assert.equal(starter.node(3).options.holdPhase, undefined)
    await driving
    assert.deepEqual(
      runner.faults.map(({ do: what, node, phase }) => [what, node, phase]),
      [
        ['kill', 3, 'closing'],
        ['restart', 3, 'closing']
      ]
    )
    assert.deepEqual([starter.node(1).signals, starter.node(2).signals], [[], []])
  })

  it('fails where two nodes hold as the closer, or a step finds its node in a state that it cannot have', async () => {
    const steps = [
      { at: { phase: 'closing', round: 2 }, do: 'kill', node: 'closer' },
      { at: { round: 2 }, do: 'kill', node: 2 }
    ]
    const held = { type: 'phase', round: 2, data: { phase: 'closing', held: true, closer: true } } as const
    const both = newRunner({ nodes: 2, rounds: 3, steps }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    for (const node of starter.started) node.emit(held)
    await assert.rejects(both, { code: 'step_failed', message: /both held as the closer/ })
    runner.close()
    const twice = newRunner({ nodes: 2, rounds: 3, steps }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    starter.node(2).emit(held)
    await until(() => starter.node(2).signals.length > 0)
    starter.node(1).adopt(2)
    await assert.rejects(twice, { code: 'step_failed', message: 'kill node 2: it is dead' })
  })

  it('does a step when a node says that it waits', async () => {
    const steps = [
      { at: { round: 1 }, do: 'kill', node: 2 },
      { at: { waiting: 1 }, do: 'restart', node: 2 }
    ]
    const driving = newRunner({ nodes: 2, rounds: 2, steps }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    adoptEverywhere(1)
    await until(() => starter.node(2).signals.length === 1)
    starter.node(1).waitingFor = 'waiting for 1 more'
    await until(() => starter.lives(2).length === 2)
    starter.node(1).adopt(2)
    await driving
  })

  it('stops, continues, lets leave and lets join', async () => {
    const steps = [
      { at: { round: 1 }, do: 'stop', node: 2 },
      { at: { round: 2 }, do: 'continue', node: 2 },
      { at: { round: 2 }, do: 'leave', node: 3 },
      { at: { round: 2 }, do: 'join', node: 4 }
    ]
    const driving = newRunner({ nodes: 3, rounds: 3, steps }).drive({ signal })
    await until(() => starter.started.length === 3 && runner.states.every(state => state.life === 'alive'))
    adoptEverywhere(1)
    await until(() => starter.node(2).signals.length === 1)
    starter.node(1).adopt(2)
    await until(() => starter.lives(4).length === 1 && starter.node(4).calls.length === 1)
    assert.deepEqual(starter.node(2).signals, ['SIGSTOP', 'SIGCONT'])
    assert.deepEqual(starter.node(3).calls.slice(-2), ['leave', 'shutdown'])
    starter.node(1).adopt(3)
    await driving
    assert.deepEqual(
      runner.reportNodes().map(node => node.alive),
      [true, true, false, true]
    )
  })

  it('reports how long a round took those who lived through it, not those who caught up on it', async () => {
    const driving = newRunner({ nodes: 3, rounds: 1 }).drive({ signal })
    await until(() => starter.started.length === 3 && runner.states.every(state => state.life === 'alive'))
    adoptEverywhere(1)
    for (const [index, seconds] of [4, null, 0.5].entries()) Object.assign(starter.node(index + 1).rows[0]!, { seconds })
    await driving
    await runner.collect({ signal })
    assert.equal(runner.reportRounds()[0]!.seconds, 4)
  })

  it('hears of contributions from those who offered them, and waits with the end until what no record took is put back', async () => {
    const driving = newRunner({ nodes: 2, rounds: 2 }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    const [first, second] = [starter.node(1), starter.node(2)]
    const tell = (code: string, subject: string | null, round: number, data = {}): void =>
      second.emit({ type: 'run', peer: second.peer, code, round, data: { subject, ...data } })
    tell('contribution_offered', 'bown1', 1)
    tell('contribution_offered', 'bown2', 2)
    tell('contribution_restored', null, 2)
    first.emit({ type: 'run', peer: second.peer, code: 'contribution_lost', round: 2, data: { subject: 'bown2' } })
    tell('contribution_lost', 'bown1', 1)
    tell('contribution_dropped', 'bkept', 1, { isGone: false })
    first.adopt(1)
    first.adopt(2)
    await driving
    second.rows = first.rows
    second.round = 2
    let isSettled = false
    const settling = runner.settle({ signal }).finally(() => {
      isSettled = true
    })
    await until(() => news.some(({ kind }) => kind === 'ended'))
    await delay(5)
    assert.equal(isSettled, false)
    assert.deepEqual(runner.contributions(), { offered: 3, lost: [{ node: 2, round: 1, cid: 'bown1', told: 'lost' }] })
    tell('contribution_restored', 'bown1', 1)
    assert.equal(await settling, true)
    await runner.collect({ signal })
    const found = { contributions: runner.contributions(), heads: runner.heads, rounds: runner.rounds() }
    assert.deepEqual(found.contributions, { offered: 3, lost: [] })
    runner.close()
    for (const node of starter.started) node.exit(0)
    await Promise.all(starter.started.map(({ ended }) => ended))
    assert.deepEqual(
      { contributions: runner.contributions(), heads: runner.heads, rounds: runner.rounds() },
      found,
      'the same when it is judged'
    )
  })

  it('takes no turn to another branch for a record, and one that never came for a wait', async () => {
    const driving = newRunner({ nodes: 3, rounds: 2 }).drive({ signal })
    await until(() => starter.started.length === 3 && runner.states.every(state => state.life === 'alive'))
    const [first, second] = [starter.node(1), starter.node(2)]
    first.adopt(1)
    first.emit({ type: 'round', round: 1 })
    first.emit({ type: 'run', code: 'fork_switched' })
    for (const round of [1, 2]) second.adopt(round)
    await driving
    await until(() => runner.states[0]!.told.has('fork_switched') && runner.states[1]!.adoptions.length === 2)
    assert.deepEqual(
      runner.states.map(({ adoptions }) => adoptions.map(({ round }) => round)),
      [[1], [1, 2], []]
    )
    assert.deepEqual(
      runner.gaps().map(({ node, round }) => ({ node, round })),
      [
        { node: 1, round: 1 },
        { node: 2, round: 2 },
        { node: 3, round: 0 }
      ]
    )
  })

  it('reports the rounds of the branch that stays, not those that were set aside', async () => {
    const driving = newRunner({ nodes: 3, rounds: 3, steps: [{ at: { round: 2 }, do: 'kill', node: 3 }] }).drive({ signal })
    await until(() => starter.started.length === 3 && runner.states.every(state => state.life === 'alive'))
    const [first, second, third] = [starter.node(1), starter.node(2), starter.node(3)]
    for (const round of [1, 2, 3]) third.adopt(round)
    await until(() => runner.states[2]!.life === 'dead')
    for (const round of [1, 2, 3]) second.adopt(round)
    await driving
    await until(() => runner.states.slice(1).every(({ rounds }) => rounds.has(3)))
    // Both come to hold another branch, on which there are fewer rounds.
    first.adopt(1)
    first.adopt(2)
    for (const row of first.rows) row.record = `bother${row.round}`
    second.rows = first.rows
    await runner.collect({ signal })
    assert.deepEqual(
      runner.reportRounds().map(({ record }) => record),
      ['bother1', 'bother2']
    )
  })

  it('holds a node that does not come up against the mesh: it has no head, and its step is not done', async () => {
    const steps = [
      { at: { round: 1 }, do: 'kill', node: 2 },
      { at: { round: 1 }, do: 'restart', node: 2 }
    ]
    const driving = newRunner({ nodes: 2, rounds: 2, settle: '5ms', steps }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    starter.start = () => new Promise(() => {})
    adoptEverywhere(1)
    await until(() => runner.states[1]!.life === 'starting')
    starter.node(1).adopt(2)
    await driving
    assert.equal(await runner.settle({ signal }), false)
    await runner.collect({ signal })
    assert.deepEqual(runner.heads, [
      { index: 1, head: 'brecord2', anchor: 'banchor2' },
      { index: 2, head: null, anchor: null }
    ])
    assert.deepEqual(
      runner.stepsLeft.map(step => step.do),
      ['restart']
    )
  })

  it('corrupts no other block where a node has no anchor yet', async () => {
    newRunner({ nodes: 1, rounds: 1, steps: [{ at: { round: 1 }, do: 'corruptBlock', node: 1, block: 'anchor' }] })
    const start = starter.start.bind(starter)
    starter.start = async (...given) => {
      const node = await start(...given)
      const { status } = node.control
      node.control.status = async (...asked) => ({ ...(await status(...asked)), runs: [] })
      return node
    }
    const driving = runner.drive({ signal })
    await until(() => runner.run !== null)
    adoptEverywhere(1)
    await assert.rejects(driving, { code: 'step_failed', message: 'corruptBlock node 1: it has no anchor yet' })
    assert.deepEqual(starter.done, [])
  })

  it('fails when a node ends by itself', async () => {
    const driving = newRunner({ nodes: 2, rounds: 9 }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    starter.node(2).exit(1)
    await assert.rejects(driving, { code: 'daemon_exited', message: 'node 2 ended by itself with code 1: last words' })
  })

  it('ends with the reason of its signal', async () => {
    const inner = new AbortController()
    const driving = newRunner({ nodes: 2, rounds: 9 }).drive({ signal: inner.signal })
    await until(() => starter.started.length === 2)
    inner.abort(new Error('enough'))
    await assert.rejects(driving, /enough/)
  })

  it('settles once all hold one head, after pausing every node', async () => {
    const driving = newRunner({ nodes: 2, rounds: 1 }).drive({ signal })
    await until(() => starter.started.length === 2 && runner.states.every(state => state.life === 'alive'))
    starter.node(1).adopt(1)
    await driving
    const settling = runner.settle({ signal })
    await until(() => starter.node(2).calls.includes('pause'))
    starter.node(2).adopt(1)
    assert.equal(await settling, true)
    await runner.collect({ signal })
    assert.deepEqual(runner.reportRounds(), [
      {
        round: 1,
        record: 'brecord1',
        anchor: 'banchor1',
        closer: 1,
        // The other read of it without having been told.
        absent: [{ node: 1, was: 'alive' }],
        slow: null,
        contributors: [runner.reportRounds()[0]!.contributors[0]!],
        seconds: 1,
        bytes: 20
      }
    ])
    assert.deepEqual(runner.reportNodes()[0], {
      index: 1,
      peer: 'peer1',
      alive: true,
      round: 1,
      anchor: 'banchor1',
      tokens: 100,
      engine: 'js',
      bytesSent: 10,
      bytesReceived: 10,
      told: {}
    })
  })

  it('does what a scenario does to networks and disks, in the order of the file', async () => {
    newRunner({
      nodes: 3,
      rounds: 3,
      network: 'namespaces',
      steps: [
        { at: { round: 1 }, do: 'partition', groups: [[1], [2, 3]], oneWay: true },
        // Due long before, and still after the partition: what is done to the mesh holds up what follows.
        { at: { round: 0 }, do: 'corruptBlock', node: 2 },
        { at: { round: 0 }, do: 'slow', node: 3, rate: '1mbit' },
        { at: { after: '10ms' }, do: 'heal' },
        { at: { after: '10ms' }, do: 'wait' },
        { at: { round: 2 }, do: 'fillDisk', node: 2 },
        { at: { round: 3 }, do: 'freeDisk', node: 2 }
      ]
    })
    const driven = runner.drive({ signal })
    await until(() => runner.run !== null && runner.states.length === 3 && runner.states.every(({ life }) => life === 'alive'))
    assert.deepEqual(starter.done, [])
    for (const round of [1, 2, 3]) {
      adoptEverywhere(round)
      await until(() => runner.round === round)
    }
    await driven
    assert.deepEqual(starter.done, ['partition [[1],[2,3]] one way', 'corrupt 2 banchor1', 'slow 3 1000000', 'heal', 'fill 2', 'free 2'])
    assert.deepEqual(
      runner.gaps().map(({ node }) => node),
      [1],
      'only what nothing was done to is held to the times of a round'
    )
  })

  it('kills and replaces in a storm, spares whom it is to spare, and ends only after it', async () => {
    const storm = { do: 'storm', every: '5ms', kills: '1..2', for: '60ms', restartAfter: '1ms', back: 'either', spare: [1], seed: 3 }
    newRunner({ nodes: 4, rounds: 1, steps: [{ at: { round: 1 }, ...storm }] })
    const driven = runner.drive({ signal })
    await until(() => runner.run !== null && runner.states.length === 4)
    adoptEverywhere(1)
    await driven
    const kills = runner.faults.filter(fault => fault.do === 'kill').map(({ node }) => node)
    assert.ok(kills.length > 2 && !kills.includes(1), `${kills}`)
    assert.equal(starter.lives(1).length, 1)
    assert.equal(runner.states.filter(({ life }) => life === 'alive').length, 4, 'as many as before')
    assert.ok(runner.states.length > 4, 'some came back as new ones')
    for (const { index, isReplaced } of runner.states) {
      const killed = kills.filter(node => node === index).length
      assert.equal(starter.lives(index).length, killed + (isReplaced ? 0 : 1))
    }
  })

  it('kills all and starts all again', async () => {
    const steps = [
      { at: { round: 1 }, do: 'killAll' },
      { at: { after: '5ms' }, do: 'restartAll' }
    ]
    newRunner({ nodes: 3, rounds: 2, steps })
    const driven = runner.drive({ signal })
    await until(() => runner.run !== null && runner.states.length === 3 && runner.states.every(({ life }) => life === 'alive'))
    adoptEverywhere(1)
    await until(() => starter.started.length === 6 && runner.states.every(({ life }) => life === 'alive'))
    adoptEverywhere(2)
    await driven
    assert.deepEqual(
      runner.states.map(({ index }) => starter.lives(index).length),
      [2, 2, 2]
    )
  })

  it('says who gave nothing to a round, what it was by then, and who went on listing the dead', async () => {
    newRunner({ nodes: 2, rounds: 2, steps: [{ at: { round: 1 }, do: 'kill', node: 2 }] })
    const driven = runner.drive({ signal })
    await until(() => runner.run !== null && runner.states.length === 2)
    adoptEverywhere(1)
    await until(() => runner.states[1]!.life === 'dead')
    starter.node(1).members = ['peer1', 'peer2']
    adoptEverywhere(2)
    await driven
    await runner.collect({ signal })
    assert.deepEqual(runner.reportRounds().at(-1)!.absent, [{ node: 2, was: 'dead' }])
    assert.deepEqual(
      runner.ghosts.map(({ of, on, isListed }) => ({ of, on, isListed })),
      [{ of: 2, on: 1, isListed: true }]
    )
    assert.equal(runner.deaths, 1)
  })
})
