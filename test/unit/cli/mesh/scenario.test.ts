import assert from 'node:assert/strict'
import { parseScenario } from '../../../../cli/mesh/scenario.ts'
import { nodeOf } from '../../../../cli/mesh/steps.ts'

const ISSUE = `
nodes: 5             # indexes 1..5
run: demo            # or the path of a manifest
rounds: 10           # the first record after the genesis is round 1; end when the mesh has adopted round 10
timeout: 8m
steps:
  - { at: { round: 2 }, do: kill, node: 3 }
  - { at: { round: 4 }, do: restart, node: 3 }
expect:
  - equalAnchors
  - { heldOutBelow: 2.5 }
`

const refusal = (text: string, flags = {}) => {
  try {
    parseScenario(text, flags, 'x.yaml')
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint: string }
    assert.equal(code, 'bad_scenario')
    return `${message} | ${hint}`
  }
  return assert.fail(`accepted: ${text}`)
}

describe('parseScenario()', () => {
  it('reads the scenario of the documentation', () => {
    assert.deepEqual(parseScenario(ISSUE), {
      nodes: 5,
      run: 'demo',
      rounds: 10,
      timeoutMs: 480_000,
      seed: null,
      baseline: false,
      baselineRates: null,
      set: {},
      engines: {},
      network: 'loopback',
      memoryEveryMs: null,
      settleMs: 30_000,
      steps: [
        { at: { kind: 'round', round: 2, node: null }, do: 'kill', node: 3 },
        { at: { kind: 'round', round: 4, node: null }, do: 'restart', node: 3 }
      ],
      stepsLeftOut: [],
      expect: [{ name: 'equalAnchors' }, { name: 'heldOutBelow', limit: 2.5 }]
    })
  })

  it('lets flags win over the file', () => {
    const scenario = parseScenario(ISSUE, { nodes: 7, rounds: 12, seed: 3, timeoutMs: 1000, baseline: true })
    assert.deepEqual([scenario.nodes, scenario.rounds, scenario.seed, scenario.timeoutMs, scenario.baseline], [7, 12, 3, 1000, true])
  })

  it('takes the engine of a node, the flag before the file', () => {
    const scenario = parseScenario('engines: { 2: wasm, 3: js }', { engines: { '3': 'traced', '4': 'wasm' } })
    assert.deepEqual(scenario.engines, { 2: 'wasm', 3: 'traced', 4: 'wasm' })
    const joins = 'engines: { 5: wasm }\nsteps:\n  - { at: { round: 1 }, do: join, node: 5 }'
    assert.deepEqual(parseScenario(joins).engines, { 5: 'wasm' })
  })

  it('refuses an engine that there is not, or for a node that never starts, by the name of the flag', () => {
    for (const [node, engine, wanted] of [
      ['2', 'nonsense', /: --engine 2=nonsense is "nonsense" \| want one of auto, .*wasm/],
      ['2', 'wasn', /--engine 2=wasn is "wasn" \| did you mean wasm\?/],
      ['9', 'wasm', /--engine 9=wasm names a node that never starts \| nodes is 4/],
      ...['0', '02', '0x2', '1e0', ' 1 ', '257'].map(odd => [
        odd,
        'wasm',
        /--engine .*=wasm names no node \| want a whole number from 1 to 256/
      ])
    ] as [string, string, RegExp][])
      assert.match(refusal('nodes: 4', { engines: { [node]: engine } }), wanted)
  })

  it('takes rates as a baseline, those of the flag before those of the file', () => {
    const text = 'baselineRates: [2e-3, 5e-3]\nexpect: [meshBelowAlone]'
    const file = parseScenario(text)
    assert.deepEqual([file.baseline, file.baselineRates], [true, [2e-3, 5e-3]])
    assert.deepEqual(parseScenario(text, { baselineRates: [1e-2] }).baselineRates, [1e-2])
  })

  it('refuses rates that cannot all be trained and told apart', () => {
    for (const [rates, wrong] of [
      [[], /--baseline-rates has 0 rates/],
      [[1, 2, 3, 4, 5, 6, 7, 8, 9], /has 9 rates/],
      [[2e-3, 0], /has the rate 0/],
      [[-1], /has the rate -1/],
      [[Number.POSITIVE_INFINITY], /has the rate Infinity/],
      [['fast'], /has the rate fast/],
      [[2e-3, 5e-3, 2e-3], /has the rate 0.002 twice \| want 1 to 8 different rates above 0 and up to 10/]
    ] as [unknown[], RegExp][]) {
      assert.match(refusal('nodes: 2', { baselineRates: rates }), wrong)
    }
    assert.match(refusal('nodes: 2\nbaselineRates: [2e-3, no]'), /x.yaml:2: baselineRates has the rate no/)
  })

  it('leaves out steps that a shorter --rounds puts after the end, and names them', () => {
    const { steps, stepsLeftOut } = parseScenario(ISSUE, { rounds: 3 })
    assert.deepEqual(
      [steps, stepsLeftOut].map(list => list.map(step => step.do)),
      [['kill'], ['restart']]
    )
  })

  it('leaves out what follows on the same node, or on a closer that is not looked for then', () => {
    const text = `
steps:
  - { at: { round: 2 }, do: kill, node: 4 }
  - { at: { phase: closing, round: 5, node: closer }, do: kill, node: 2 }
  - { at: { waiting: 1 }, do: restart, node: 2 }
  - { at: { waiting: 3 }, do: stop, node: closer }
  - { at: { round: 3 }, do: continue, node: closer }
`
    const nodes = (rounds: number) => parseScenario(text, { rounds }).steps.map(nodeOf)
    assert.deepEqual(nodes(3), [4])
    assert.deepEqual(nodes(5), [4, 2, 2, 'closer', 'closer'])
  })

  it('reads steps at a phase, on the node itself or on another, and at a wait', () => {
    const { steps } = parseScenario(`
steps:
  - { at: { phase: closing, round: 3, node: 2 }, do: kill, node: 2 }
  - { at: { phase: storing, round: 4 }, do: stop, node: 1 }
  - { at: { waiting: 3 }, do: restart, node: 2 }
`)
    assert.deepEqual(
      steps.map(step => step.at),
      [
        { kind: 'phase', phase: 'closing', round: 3, node: 2 },
        { kind: 'phase', phase: 'storing', round: 4, node: 1 },
        { kind: 'waiting', node: 3 }
      ]
    )
  })

  it('reads steps on the closer of a round, and on that node afterwards', () => {
    const { steps } = parseScenario(`
steps:
  - { at: { phase: closing, round: 3 }, do: kill, node: closer }
  - { at: { round: 5 }, do: restart, node: closer }
`)
    assert.deepEqual(steps, [
      { at: { kind: 'phase', phase: 'closing', round: 3, node: 'closer' }, do: 'kill', node: 'closer' },
      { at: { kind: 'round', round: 5, node: null }, do: 'restart', node: 'closer' }
    ])
  })

  it('refuses unknown keys with their line and the nearest name', () => {
    assert.equal(refusal('nodes: 3\nround: 5'), 'cannot read x.yaml:2: round is not a known key | did you mean rounds?')
    assert.match(
      refusal('steps:\n  - { at: { round: 1 }, doo: kill, node: 1 }'),
      /x.yaml:2: steps\[0\].doo is not a known key \| did you mean do\?/
    )
  })

  it('refuses wrong values with what is wanted', () => {
    for (const [text, wanted] of [
      ['nodes: 0', /want a whole number from 1 to 256/],
      ['nodes: [', /cannot read x.yaml:1/],
      ['- 1', /not a mapping/],
      ['timeout: soon', /90s or 8m/],
      ['steps: 3', /want a list/],
      ['steps:\n  - { at: { round: 1 }, do: kil, node: 1 }', /did you mean kill\?/],
      ['steps:\n  - { at: { phase: closng, round: 1 }, do: kill, node: 1 }', /did you mean closing\?/],
      ['steps:\n  - { at: { phase: closing }, do: kill, node: 1 }', /at.round is missing/],
      ['steps:\n  - { do: kill, node: 1 }', /steps\[0\].at is missing/],
      ['engines: wasm', /as \{ 2: wasm \}/],
      ['engines: { two: wasm }', /engines\.two names no node \| want a whole number from 1 to 256/],
      ['engines: { 2: 3 }', /x\.yaml:1: engines\.2 is 3 \| want one of auto, .*wasm/],
      ['engines: { 5: wasm }', /engines\.5 names a node that never starts \| nodes is 4/],
      ['expect:\n  - equalAnchor', /did you mean equalAnchors\?/],
      ['expect:\n  - { heldOutBelow: low }', /nats per byte/],
      ['expect:\n  - meshBelowAlone', /baseline/]
    ] as [string, RegExp][]) {
      assert.match(refusal(text), wanted)
    }
  })

  it('refuses steps that cannot happen', () => {
    for (const [text, wanted] of [
      ['nodes: 2\nsteps:\n  - { at: { round: 1 }, do: kill, node: 3 }', /node 3|that node is absent/],
      ['nodes: 2\nsteps:\n  - { at: { round: 1 }, do: restart, node: 1 }', /restart needs a node that is dead/],
      ['nodes: 2\nsteps:\n  - { at: { round: 1 }, do: join, node: 2 }', /join takes a new index, above 2/],
      ['nodes: 2\nsteps:\n  - { at: { round: 1 }, do: continue, node: 2 }', /continue needs a node that is stopped/],
      ['steps:\n  - { at: { round: 1 }, do: kill, node: closer }', /no step has found it by then \| want at: \{ phase: P/],
      ['steps:\n  - { at: { phase: closing, round: 1 }, do: join, node: closer }', /that node is alive by then/],
      ['steps:\n  - { at: { phase: closing, round: 1 }, do: kill, node: closest }', /did you mean closer\?/],
      [
        'steps:\n  - { at: { phase: closing, round: 1 }, do: stop, node: closer }\n  - { at: { phase: closing, round: 2 }, do: kill, node: closer }',
        /looks for the closer again/
      ],
      [
        'steps:\n  - { at: { phase: closing, round: 3 }, do: kill, node: 2 }\n  - { at: { phase: closing, round: 2 }, do: kill, node: closer }',
        /x\.yaml:2: steps\[0\]\.at holds node 2 in a phase, and another step looks for the closer/
      ],
      ['rounds: 3\nsteps:\n  - { at: { round: 4 }, do: kill, node: 2 }', /after the last round/]
    ] as [string, RegExp][]) {
      assert.match(refusal(text), wanted)
    }
  })

  it('reads what is done to networks, disks and the whole mesh', () => {
    const { steps } = parseScenario(`
nodes: 8
network: namespaces
steps:
  - { at: { round: 2 }, do: partition, groups: [[1, 2, 3, 4], [5, 6, 7, 8]] }
  - { at: { round: 3, node: 5 }, do: heal }
  - { at: { after: 10s }, do: slow, node: 5, rate: 1mbit }
  - { at: { after: 10s }, do: slow, node: 5, rate: unlimited }
  - { at: { round: 4 }, do: fillDisk, node: 3 }
  - { at: { round: 6 }, do: freeDisk, node: 3 }
  - { at: { round: 6 }, do: corruptBlock, node: 4 }
  - { at: { round: 7 }, do: storm, every: 5s, kills: 1..3, for: 2m, spare: [1], seed: 7 }
  - { at: { after: 3m }, do: killAll }
  - { at: { after: 1s }, do: restartAll }
`)
    assert.deepEqual(steps.slice(0, 2), [
      {
        at: { kind: 'round', round: 2, node: null },
        do: 'partition',
        groups: [
          [1, 2, 3, 4],
          [5, 6, 7, 8]
        ],
        oneWay: false
      },
      { at: { kind: 'round', round: 3, node: 5 }, do: 'heal' }
    ])
    assert.deepEqual(
      steps.flatMap(step => (step.do === 'slow' ? [step.bitsPerSecond] : [])),
      [1_000_000, null]
    )
    assert.deepEqual(
      steps.flatMap(step => (step.do === 'storm' ? [step.storm] : [])),
      [{ everyMs: 5000, kills: { least: 1, most: 3 }, forMs: 120_000, restartAfterMs: 3000, back: 'same', seed: 7, spare: [1] }]
    )
    assert.deepEqual(
      steps.slice(-2).map(step => step.do),
      ['killAll', 'restartAll']
    )
  })

  it('refuses faults that cannot be done or show nothing', () => {
    for (const [text, wanted] of [
      [
        'steps:\n  - { at: { round: 1 }, do: partition, groups: [[1], [2]] }',
        /x\.yaml:2: steps\[0\] needs a network .*\| add network: namespaces/
      ],
      ['steps:\n  - { at: { round: 1 }, do: slow, node: 2, rate: 1mbit }', /add network: namespaces/],
      ['network: none', /want one of loopback, namespaces/],
      ['steps:\n  - { at: { round: 1 }, do: partition, groups: [[1, 2]] }', /has 1 groups \| want two groups/],
      ['steps:\n  - { at: { round: 1 }, do: partition, groups: [[1, 2], [2]] }', /names node 2 twice/],
      ['network: namespaces\nsteps:\n  - { at: { round: 1 }, do: partition, groups: [[1], [9]] }', /node 9, which has not started/],
      ['steps:\n  - { at: { round: 1 }, do: heal }', /not parted by then/],
      ['steps:\n  - { at: { round: 1 }, do: slow, node: 2, rate: fast }', /want a rate from 8kbit/],
      ['steps:\n  - { at: { round: 1 }, do: freeDisk, node: 2 }', /is not filled by then/],
      ['steps:\n  - { at: { round: 1 }, do: kill, node: 2, rate: 1mbit }', /rate is not a known key/],
      ['steps:\n  - { at: { after: 5s, round: 1 }, do: kill, node: 2 }', /has after beside round/],
      ['steps:\n  - { at: { round: 1 }, do: restartAll }', /finds no node that is dead/],
      ['steps:\n  - { at: { round: 1 }, do: storm, every: 5s }', /for is missing/],
      ['steps:\n  - { at: { round: 1 }, do: storm, every: 5s, for: 1m, kills: 3..1 }', /want a whole number from 1 to 256, or two/],
      [
        'steps:\n  - { at: { round: 1 }, do: storm, every: 5s, for: 1m, spare: [1] }\n  - { at: { round: 2 }, do: kill, node: 2 }',
        /x\.yaml:3: steps\[1\]\.node is 2, which the storm before may have killed/
      ],
      ['expect: [{ roundsWithin: soon }]', /want a time/],
      ['expect: [{ roundsWithin: { grace: 1 } }]', /did you mean graces\?/],
      ['expect: [{ memoryGrowthBelow: { megabytesAnHour: 1 } }]', /add memory: 10s/],
      ['memory: 10s\nexpect: [{ memoryGrowthBelow: {} }]', /want a number above 0/],
      ['expect: [{ tells: { two: [disk_full] } }]', /want a whole number from 1 to 256/],
      ['expect: [{ tells: { 1|0: [disk_full] } }]', /want a whole number from 1 to 256/],
      ['expect: [{ tells: {} }]', /want codes by node/],
      ['expect: [{ tells: { 5: } }]', /names no code/],
      ['expect: [{ tells: { 5: [] } }]', /names no code/]
    ] as [string, RegExp][]) {
      assert.match(refusal(text), wanted)
    }
  })

  it('leaves out, after a shorter --rounds, all that follows a fault of the whole mesh', () => {
    const text = `
network: namespaces
steps:
  - { at: { round: 2 }, do: kill, node: 3 }
  - { at: { round: 4 }, do: partition, groups: [[1], [2]] }
  - { at: { after: 5s }, do: heal }
  - { at: { after: 5s }, do: restart, node: 3 }
`
    assert.deepEqual(
      parseScenario(text, { rounds: 3 }).steps.map(step => step.do),
      ['kill']
    )
  })

  it('bounds aliases', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((key, i) => `${key}: &${key} [${`*${'abcdefgh'[i]},`.repeat(9)}]`)
    ]
    refusal(bomb.join('\n'))
  })
})
