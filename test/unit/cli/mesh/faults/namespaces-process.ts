// The networks of three nodes, in the enclosure that namespaces.test.ts makes: parted, healed, slowed, and after each what the kernel says of it, in JSON.
import { execFileSync } from 'node:child_process'
import { Namespaces } from '../../../../../cli/mesh/faults/namespaces.ts'

const NODES = [1, 2, 3]
const network = await Namespaces.open(process.argv[2]!)
const inside = new Map<number, readonly string[]>()
for (const node of NODES) inside.set(node, (await network.place(node)).command)

const run = ([name, ...args]: string[]): string => execFileSync(name!, args, { encoding: 'utf8' })
const sees = () => ({
  /** Whose packets each node drops. */
  drops: NODES.map(node => {
    const [rule = ''] = run([...inside.get(node)!, 'nft', 'list', 'ruleset']).match(/ip saddr .* drop/) ?? []
    return rule.match(/\d+(?=[, ]|$)/g)?.map(Number) ?? []
  }),
  /** What each sends, and what is sent to it. */
  rates: NODES.map(node =>
    [run([...inside.get(node)!, 'tc', 'qdisc', 'show', 'dev', 'eth0']), run(['tc', 'qdisc', 'show', 'dev', `node${node}`])].map(
      shown => /tbf .*rate (\S+)/.exec(shown)?.[1] ?? null
    )
  )
})

const after: Record<string, ReturnType<typeof sees>> = {}
await network.partition([[1], [2, 3]], false)
after.parted = sees()
await network.partition([[1], [2, 3]], true)
after.deaf = sees()
await network.heal()
await network.slow(2, 1_000_000)
after.slowed = sees()
await network.slow(2, null)
after.whole = sees()
await network.close()
console.log(JSON.stringify(after))
