// Holds the arrows of the house: which room may import which, and which third parties live where. Also finds files that nobody reaches, and names that nobody else uses.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../..')
const ROOMS = ['cli', 'daemon', 'protocols', 'training', 'storage'] as const
type Room = (typeof ROOMS)[number]

const MAY_IMPORT: Record<Room, (path: string) => boolean> = {
  protocols: () => false,
  training: () => false,
  storage: () => false,
  daemon: path => /^(protocols|training|storage)\//.test(path),
  cli: path => /^daemon\/(index|polyfill)\.ts$/.test(path) || path.startsWith('protocols/control/')
}
const THIRD_PARTIES: [RegExp, RegExp][] = [
  [/^(@libp2p\/|libp2p$|@multiformats\/|@chainsafe\/)/, /^(daemon\/(node|identity)|protocols\/)/],
  [/^libp2p$/, /^daemon\/node/],
  [/^(@tensorflow\/|onnx-proto)/, /^training\/(engines|models)\//],
  // Loaded any other way it tells of its use.
  [/^onnxruntime-node/, /^training\/engines\/onnxruntime\.ts$/],
  [/^level$/, /^storage\//],
  [/^node:fs/, /^(storage|daemon|cli)\//]
]
/** Started as processes or worker threads of their own, so nothing imports them. */
const ENTRIES = /^(cli\/main\.ts|.*-(process|worker)\.ts)$/

const sources = ROOMS.filter(room => existsSync(join(ROOT, room))).flatMap(room =>
  readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => `${room}/${name}`)
)
const imports = (path: string): string[] =>
  [...readFileSync(join(ROOT, path), 'utf8').matchAll(/(?:\bfrom|\b(?:import|require)\(|^import)\s*'([^']+)'/gm)].map(match => match[1]!)
/** Packages that load before the first line of a file runs: what its imports reach, types and `import()` aside. */
function packagesAtStart(entry: string, seen = new Set<string>()): string[] {
  if (seen.has(entry)) return []
  seen.add(entry)
  const code = readFileSync(join(ROOT, entry), 'utf8').replace(/^\s*(\/\/|\/?\*).*$/gm, '')
  const loads = [...code.matchAll(/^(?:(?:import|export)\s+(?!type\b)[^'";()]*\bfrom|import)\s*'([^']+)'|\brequire\('([^']+)'\)/gm)]
  return loads.flatMap(([, imported, required]) => {
    const specifier = imported ?? required!
    return specifier.startsWith('.') ? packagesAtStart(target(entry, specifier), seen) : [specifier]
  })
}
const target = (from: string, specifier: string): string => relative(ROOT, resolve(ROOT, dirname(from), specifier))

describe('the layout', () => {
  it('has arrows that run one way', () => {
    const wrong = sources.flatMap(path => {
      const room = path.split('/')[0] as Room
      return imports(path)
        .filter(specifier => specifier.startsWith('.'))
        .map(specifier => target(path, specifier))
        .filter(to => !to.startsWith(`${room}/`) && !MAY_IMPORT[room](to))
        .map(to => `${path} -> ${to}`)
    })
    assert.deepEqual(wrong, [])
  })

  it('keeps each third party in its place', () => {
    const wrong = sources.flatMap(path =>
      imports(path)
        .filter(specifier => THIRD_PARTIES.some(([name, home]) => name.test(specifier) && !home.test(path)))
        .map(specifier => `${path} -> ${specifier}`)
    )
    assert.deepEqual(wrong, [])
  })

  it('starts a command with no more than it needs to parse its words', () => {
    const packages = packagesAtStart('cli/main.ts').filter(name => !name.startsWith('node:'))
    assert.deepEqual([...new Set(packages)].sort(), ['cli-table3', 'commander'])
  })

  it('computes nothing in the process of the daemon', () => {
    const engines = /^(@tensorflow\/|onnxruntime-node|onnx-proto)/
    assert.deepEqual(
      ['daemon/run-daemon.ts', 'daemon/arithmetic/arithmetic-worker.ts']
        .flatMap(entry => packagesAtStart(entry))
        .filter(name => engines.test(name)),
      []
    )
    assert.ok(packagesAtStart('daemon/trainer/trainer-process.ts').some(name => engines.test(name)))
  })

  it('has no file that nobody imports', () => {
    const reached = new Set(
      sources.flatMap(path =>
        imports(path)
          .filter(s => s.startsWith('.'))
          .map(s => target(path, s))
      )
    )
    assert.deepEqual(
      sources.filter(path => !reached.has(path) && !ENTRIES.test(path)),
      []
    )
  })

  it('has no export and no error code that nothing else names', () => {
    const tests = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' }).map(name => `test/${name}`)
    const uses = new Map<string, number>()
    for (const path of [...sources, ...tests.filter(name => name.endsWith('.ts'))])
      for (const [word] of readFileSync(join(ROOT, path), 'utf8').matchAll(/\w+/g)) uses.set(word, (uses.get(word) ?? 0) + 1)
    const declared = sources.flatMap(path =>
      [
        ...readFileSync(join(ROOT, path), 'utf8').matchAll(
          /^(?:export (?:async )?(?:function\*?|class|const|let|interface|type) | {2}\| ')(\w+)/gm
        )
      ].map(([, name]) => ({ path, name: name! }))
    )
    assert.ok(declared.length > 500, `only ${declared.length}`)
    assert.deepEqual(
      declared.filter(({ name }) => uses.get(name) === 1),
      []
    )
  })
})
