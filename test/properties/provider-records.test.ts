// Whatever is announced and withdrawn: the records are those of a plain map while they fit, and a fair part of them where they do not.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ProviderRecords } from '../../daemon/node-providers.ts'

interface Step {
  kind: 'put' | 'delete'
  content: number
  peer: number
}

const ALL = '/dht/provider'
const steps = (contents: number, peers: number) =>
  fc.array(
    fc.record({
      kind: fc.constantFrom('put', 'put', 'put', 'delete'),
      content: fc.nat(contents),
      peer: fc.nat(peers)
    }) as fc.Arbitrary<Step>,
    { maxLength: 200 }
  )
const keyOf = ({ content, peer }: Omit<Step, 'kind'>): string => `${ALL}/c${content}/p${peer}`
const asked = async (records: ProviderRecords, prefix: string): Promise<string[]> => {
  const keys: string[] = []
  for await (const { key } of records.query({ prefix })) keys.push(key.toString())
  return keys
}

/** What a map without bounds would hold. */
function plainAfter(steps: Step[], records: ProviderRecords): Map<string, Uint8Array> {
  const plain = new Map<string, Uint8Array>()
  for (const [index, step] of steps.entries()) {
    const key = keyOf(step)
    const value = Uint8Array.of(index)
    if (step.kind === 'put') {
      plain.set(key, value)
      records.put(key, value)
    } else {
      plain.delete(key)
      records.delete(key)
    }
  }
  return plain
}

describe('the records of providers', () => {
  it('are those of a plain map while there is room', () =>
    fc.assert(
      fc.asyncProperty(steps(6, 6), async steps => {
        const records = new ProviderRecords({ ofPeer: 100, inAll: 100, told: 100 })
        const plain = plainAfter(steps, records)
        assert.equal(records.size, plain.size)
        assert.deepEqual((await asked(records, ALL)).sort(), [...plain.keys()].sort())
        for (let content = 0; content <= 6; content++) {
          const prefix = `${ALL}/c${content}`
          assert.deepEqual((await asked(records, prefix)).sort(), [...plain.keys()].filter(key => key.startsWith(`${prefix}/`)).sort())
        }
        for (const [key, value] of plain) assert.deepEqual(records.get(key), value)
      })
    ))

  it('are bounded, in all, of a peer and in an answer, and whoever has no more than its share keeps all', () =>
    fc.assert(
      fc.asyncProperty(steps(12, 4), async steps => {
        const records = new ProviderRecords({ ofPeer: 8, inAll: 20, told: 3 })
        const plain = plainAfter(
          steps.filter(({ kind }) => kind === 'put'),
          records
        )
        const held = await asked(records, ALL)
        assert.ok(records.size === held.length && held.length <= 20)
        for (const key of held) assert.deepEqual(records.get(key), plain.get(key))
        for (let peer = 0; peer <= 4; peer++) {
          const [has, had] = [held, [...plain.keys()]].map(keys => keys.filter(key => key.endsWith(`/p${peer}`)).length) as [number, number]
          assert.ok(has <= 8)
          // A fifth of twenty each.
          if (had <= 4) assert.equal(has, had)
        }
        for (let content = 0; content <= 12; content++) {
          const of = held.filter(key => key.includes(`/c${content}/`))
          const told = await asked(records, `${ALL}/c${content}`)
          assert.equal(new Set(told).size, Math.min(3, of.length))
          assert.ok(told.every(key => of.includes(key)))
        }
      })
    ))

  it('are nothing else than records, of things that have a name of ordinary length', async () => {
    const records = new ProviderRecords()
    for (const key of ['/dht/record/abc', `${ALL}/${'c'.repeat(2_000)}/p`, `${ALL}/c`])
      assert.throws(() => records.put(key, new Uint8Array(1)), RangeError)
    assert.equal(records.size, 0)
    assert.equal(records.has('/dht/record/abc'), false)
    assert.throws(() => records.get(`${ALL}/c/p`), { name: 'NotFoundError' })
    assert.deepEqual(await asked(records, '/dht/record'), [])
  })
})
