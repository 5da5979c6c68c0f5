// Bytes that must never change: two rounds of fixed contributions by every codec and strategy, and by every aggregation, end on these roots, on every machine and Node version.
// A difference here means that nodes of two versions would disagree; give the changed thing a new name instead.
// SHOAL_WRITE_GOLDEN=1 writes the file anew.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { nextAnchor } from '../../daemon/arithmetic/next-anchor.ts'
import type { AggregationSpec, OuterStrategySpec } from '../../training/outer/index.ts'
import { contribute, genesis, MemoryBlocks, temporaryFolder } from '../unit/daemon/arithmetic/small-mesh.ts'

// Compiled tests run in dist/; the golden file is a source.
const FILE = join(resolve(import.meta.dirname, '../../..'), 'test/golden/anchors.json')
const CODECS = ['f32', 'f16', 'int8', 'int8/64', 'topk', 'topk/0.05/4096/f32', 'topk/0.1/1024/int8']
const STRATEGIES: OuterStrategySpec[] = [
  { outer: { name: 'averaging' } },
  { outer: { name: 'nesterov', learningRate: 0.7, momentum: 0.9 } }
]
const AGGREGATIONS: AggregationSpec[] = [
  { name: 'trimmedMean', trim: 0.2 },
  { name: 'median' },
  { name: 'centeredClip', tau: { times: 1 }, iterations: 3 },
  { name: 'centeredClip', tau: 0.3, iterations: 1 }
]
const NODES = [
  { seed: 11, tokens: 51_200 },
  { seed: 12, tokens: 38_147 },
  { seed: 13, tokens: 7 },
  { seed: 14, tokens: 51_200 },
  { seed: 15, tokens: 1024 }
]

interface Roots {
  genesis: string
  /** Body and norm of the first node's second contribution, which carries a residual. */
  body: string
  norm: number
  anchors: string[]
}

async function twoRounds(folder: string, codec: string, strategy: OuterStrategySpec): Promise<Roots> {
  const blocks = new MemoryBlocks()
  const start = await genesis(blocks, strategy)
  const anchors = [start.anchor]
  const bodies = new Map<string, { body: string; norm: number }>()
  for (const round of [1, 2]) {
    for (const { seed } of NODES) bodies.set(`${seed}/${round}`, await contribute(blocks, folder, { seed, codec, round }))
    const contribution = ({ seed, tokens }: { seed: number; tokens: number }, age: number) => {
      const { body, norm } = bodies.get(`${seed}/${round - age}`)!
      return { body, codec, author: `${seed}`, tokens, age, norm }
    }
    // In the second round the last node's work is the first round's, late; where authors are counted, it has both.
    const contributions = NODES.map((node, i) => contribution(node, round === 2 && i === NODES.length - 1 ? 1 : 0))
    if (round === 2 && strategy.aggregation !== undefined) contributions.push(contribution(NODES.at(-1)!, 0))
    anchors.push((await nextAnchor({ blocks }, { parentAnchor: anchors.at(-1)!, contributions, strategy })).anchor)
  }
  const { body, norm } = bodies.get(`${NODES[0]!.seed}/2`)!
  return { genesis: anchors[0]!, body, norm, anchors: anchors.slice(1) }
}

describe('golden anchors', function () {
  this.timeout(60_000)
  const folder = temporaryFolder()
  const written: Record<string, Roots> = {}
  const golden = (): Record<string, Roots> => JSON.parse(readFileSync(FILE, 'utf8'))

  const cases = [
    ...STRATEGIES.flatMap(strategy => CODECS.map(codec => ({ name: `${strategy.outer.name} ${codec}`, strategy, codec }))),
    ...AGGREGATIONS.flatMap(aggregation =>
      // Only one that keeps state of its own meets the optimizer that does.
      STRATEGIES.slice(0, aggregation.name === 'centeredClip' ? 2 : 1).map(({ outer }) => {
        const { name, ...settings } = aggregation
        return { name: `${outer.name} of ${name} ${JSON.stringify(settings)} int8`, strategy: { outer, aggregation }, codec: 'int8' }
      })
    ),
    { name: 'averaging, cut to the median norm, int8', strategy: { ...STRATEGIES[0]!, screening: { normFactor: 1 } }, codec: 'int8' }
  ]
  for (const { name, strategy, codec } of cases) {
    it(name, async () => {
      const roots = await twoRounds(folder(), codec, strategy)
      if (process.env.SHOAL_WRITE_GOLDEN === '1') written[name] = roots
      else assert.deepEqual(roots, golden()[name])
    })
  }

  after(() => {
    if (process.env.SHOAL_WRITE_GOLDEN === '1') writeFileSync(FILE, `${JSON.stringify(written, null, 2)}\n`)
  })
})
