// The table of everything that can be wrong with a run's description, and what the author's node makes of a right one.
import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { DaemonError, type Issue } from '../../../daemon/errors.ts'
import {
  DEMO_SPEC,
  decodeManifest,
  encodeManifest,
  MAX_MANIFEST_BYTES,
  MAX_SPEC_BYTES,
  openManifest,
  parseRunSpec,
  resolveManifest,
  signManifest,
  specWarnings
} from '../../../daemon/manifest.ts'
import { contributionWeight } from '../../../training/outer/index.ts'

const PEER_A = `12D3KooW${'A'.repeat(44)}`
const PEER_B = `12D3KooW${'B'.repeat(44)}`
const CID = `b${'a'.repeat(58)}`
const RESOLUTION = { author: PEER_A, tokenizer: { kind: 'bytes' as const, vocabulary: 257, json: null }, anchor: CID }

/** A manifest as it was written before aggregation and screening had a name. */
const OLD_MANIFEST =
  'q2RkYXRhoWZjb3JwdXNncHJpdmF0ZWRuYW1lZGRlbW9kc2VlZAFlbW9kZWypZWhlYWRzBGV3aWR0aBhgZmJpYXNlc/RmZmFtaWx5ZGdwdDJmbGF5ZXJzAmdj' +
  'b250ZXh0GEBqdm9jYWJ1bGFyeRkBAW50aWVkRW1iZWRkaW5nc/VwbGF5ZXJOb3JtRXBzaWxvbvs+5Pi1iONo8WZhdXRob3J4NDEyRDNLb29XQUFBQUFBQUFB' +
  'QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFnZ2VuZXNpc6JlcGVlcnOBeDQxMkQzS29vV0FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB' +
  'QUFBQUFBQUFBQUFBQUFBZmFuY2hvcng7YmFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFndmVyc2lv' +
  'bgFoc3RyYXRlZ3mqZWNvZGVjoWRuYW1lZGludDhlb3V0ZXKhZG5hbWVpYXZlcmFnaW5nZnF1b3J1bQJnZ3JhY2VNcxkLuGpkZWFkbGluZU1zGU4gamlubmVy' +
  'U3RlcHMYMmprZWVwUm91bmRzCG1tYXhTdGVwc0FoZWFkAG5mZXRjaFRpbWVvdXRNcxknEHFtYXhUb2tlbnNQZXJSb3VuZBnIAGlhZG1pc3Npb25kb3Blbmlv' +
  'cHRpbWl6ZXKtZG5hbWVlYWRhbXdlYmF0Y2gQZWJldGEx+z/szMzMzMzNZWJldGEy+z/uZmZmZmZmZ2Vwc2lsb277PkV5juIwjDpoY2xpcE5vcm0BaHNjaGVk' +
  'dWxlZmNvc2luZWp0b3RhbFN0ZXBzGQPoa2ZpbmFsRmFjdG9y+z+5mZmZmZmaa3dhcm11cFN0ZXBzFGt3ZWlnaHREZWNhefs/uZmZmZmZmmxhY2N1bXVsYXRp' +
  'b24BbGxlYXJuaW5nUmF0Zfs/dHrhR64Ue2l0b2tlbml6ZXKjZGpzb272ZGtpbmRlYnl0ZXNqdm9jYWJ1bGFyeRkBAQ=='

/** The demo's description with a value set (or, undefined, deleted) at a path. */
function demoWith(path: string, value: unknown): unknown {
  const spec = structuredClone(DEMO_SPEC) as Record<string, unknown>
  const keys = path.split('.')
  let node = spec
  for (const key of keys.slice(0, -1)) {
    node[key] ??= {}
    node = node[key] as Record<string, unknown>
  }
  if (value === undefined) delete node[keys.at(-1)!]
  else node[keys.at(-1)!] = value
  return spec
}

function refused(input: unknown, file?: string): DaemonError {
  try {
    parseRunSpec(input, file === undefined ? {} : { file })
  } catch (error) {
    assert.ok(error instanceof DaemonError, String(error))
    return error
  }
  assert.fail('the description was accepted')
}

describe('parseRunSpec()', () => {
  it('fills every default of the demo', () => {
    const spec = parseRunSpec(DEMO_SPEC)
    assert.equal(spec.strategy.fetchTimeoutMs, 10_000)
    assert.equal(spec.optimizer.beta2, 0.95)
    assert.equal(spec.admission, 'open')
    assert.deepEqual(specWarnings(spec), [])
  })

  it('reads durations where milliseconds are meant', () => {
    assert.equal(parseRunSpec(demoWith('strategy.deadlineMs', '1m30s')).strategy.deadlineMs, 90_000)
  })

  const table: [string, unknown, string, RegExp][] = [
    ['strategy.quorm', 2, 'manifest_unknown_key', /did you mean quorum\?/],
    ['modle', {}, 'manifest_unknown_key', /did you mean model\?/],
    ['strategy.outer.momentum', 0.9, 'manifest_unknown_key', /unknown key strategy\.outer\.momentum .*name/],
    ['strategy.codec', { name: 'topk', densty: 0.1 }, 'manifest_unknown_key', /did you mean density\?/],
    ['optimizer.learning_rate', 1, 'manifest_unknown_key', /did you mean learningRate\?/],
    ['name', undefined, 'manifest_missing_key', /name in the run is missing: it must be a name of 1 to 64/],
    ['name', '../../etc', 'manifest_value', /name in the run is "\.\.\/\.\.\/etc": it must be a name of 1 to 64/],
    ['model', undefined, 'manifest_missing_key', /or name genesis\.from/],
    ['tokenizer', undefined, 'manifest_missing_key', /tokenizer/],
    ['model.family', 'bert', 'manifest_value', /"bert": it must be one of gpt2, llama/],
    ['model.layers', 0, 'manifest_value', /model\.layers in the run is 0: it must be an integer from 1 to 256/],
    ['model.layers', 2.5, 'manifest_value', /2\.5/],
    ['model.width', Number.NaN, 'manifest_value', /NaN/],
    ['model.heads', 5, 'manifest_value', /divisor of model\.width, which is 96/],
    ['model.context', '64', 'manifest_value', /"64": it must be an integer/],
    ['tokenizer', { kind: 'words' }, 'manifest_value', /"words": it must be one of bytes, bpe, gpt2, json/],
    ['tokenizer', { kind: 'bpe' }, 'manifest_missing_key', /tokenizer\.vocabulary in the run is missing: it must be an integer from 257/],
    ['tokenizer', { kind: 'bpe', vocabulary: 100 }, 'manifest_value', /100/],
    ['data.corpus', 'wikipedia', 'manifest_value', /one of sotu, private, files/],
    ['data', { corpus: 'files', files: [] }, 'manifest_value', /1 to 1000 paths/],
    ['strategy.outer', { name: 'adam' }, 'manifest_value', /one of averaging, nesterov/],
    ['strategy.aggregation', { name: 'krum' }, 'manifest_value', /one of mean, trimmedMean, median, centeredClip/],
    ['strategy.aggregation', { name: 'trimmedMean', trim: 0.5 }, 'manifest_value', /a part of the authors below 0\.5, or a whole number/],
    ['strategy.aggregation', { name: 'trimmedMean', trim: -1 }, 'manifest_value', /-1: it must be a part/],
    ['strategy.aggregation', { name: 'centeredClip', tau: 0 }, 'manifest_value', /strategy\.aggregation\.tau .*0: it must be/],
    ['strategy.aggregation', { name: 'centeredClip', tau: { times: -1 } }, 'manifest_value', /times/],
    ['strategy.aggregation', { name: 'centeredClip', iterations: 17 }, 'manifest_value', /integer from 1 to 16/],
    ['strategy.aggregation', { name: 'median', trim: 1 }, 'manifest_unknown_key', /unknown key strategy\.aggregation\.trim/],
    [
      'strategy.screening',
      { normFactor: 0.5 },
      'manifest_value',
      /strategy\.screening\.normFactor .*0\.5: it must be a number from 1 to 1000/
    ],
    ['strategy.screening', 'off', 'manifest_value', /a map with normFactor, or null/],
    ['strategy.codec.name', 'gzip', 'manifest_value', /one of f32, f16, int8, topk/],
    ['strategy.codec', { name: 'topk', density: 0 }, 'manifest_value', /above 0/],
    ['strategy.codec', { name: 'topk', density: 1.5 }, 'manifest_value', /strategy\.codec\.density .*1\.5.* at most 1/],
    ['strategy.codec', { name: 'int8', blockSize: 100 }, 'manifest_value', /strategy\.codec\.blockSize .*100.* power of two from 16/],
    ['strategy.codec', { name: 'topk', blockSize: 8 }, 'manifest_value', /strategy\.codec\.blockSize .*8.* from 16/],
    ['strategy.codec', { name: 'f32', blockSize: 16 }, 'manifest_unknown_key', /blockSize/],
    ['strategy.maxTokensPerRound', 536_870_913, 'manifest_value', /536870913: it must be an integer from 1 to 536870912 tokens/],
    ['strategy.innerSteps', 0, 'manifest_value', /1 to 1000000/],
    ['strategy.deadlineMs', 5, 'manifest_value', /100 to 86400000, or a duration such as 20s/],
    ['strategy.deadlineMs', 'soon', 'manifest_value', /"soon"/],
    ['strategy.quorum', 0, 'manifest_value', /1 to 1024 contributors/],
    ['optimizer.learningRate', -1, 'manifest_value', /-1: it must be a number/],
    ['optimizer.learningRate', undefined, 'manifest_missing_key', /optimizer\.learningRate/],
    ['optimizer.clipNorm', 0, 'manifest_value', /0/],
    ['optimizer.schedule', 'linear', 'manifest_value', /one of constant, cosine/],
    ['optimizer.totalSteps', undefined, 'manifest_missing_key', /since schedule is cosine/],
    ['optimizer.warmupSteps', 1000, 'manifest_value', /below optimizer\.totalSteps, which is 1000/],
    ['seed', -1, 'manifest_value', /0 to 4294967295/],
    ['admission', 'closed', 'manifest_value', /open, or a list/],
    ['admission', ['bob'], 'manifest_value', /admission/],
    ['admission', [PEER_A, PEER_A], 'manifest_value', /different/],
    ['admission', { invitation: { inviters: ['bob'] } }, 'manifest_value', /peer id/],
    ['admission', { invitation: { grantRounds: 7 } }, 'manifest_value', /8 to 1000000 rounds/],
    ['admission', { invitations: {} }, 'manifest_value', /or \{ invitation: \{ inviters, grantRounds \} \}/],
    ['admission', [PEER_A], 'manifest_value', /strategy\.quorum in the run is 2: it must be at most .* which is 1/],
    ['genesis.peers', ['x'], 'manifest_value', /peer id/],
    ['version', 2, 'manifest_version', /the only version this shoal knows/]
  ]
  for (const [path, value, code, message] of table) {
    it(`refuses ${path} = ${JSON.stringify(value)} with ${code}`, () => {
      const error = refused(demoWith(path, value))
      assert.equal(error.code, code, error.message)
      assert.match(error.message, message)
    })
  }

  for (const value of [null, 7, [], 'just words']) {
    it(`refuses ${JSON.stringify(value)} as a whole`, () => {
      assert.match(refused(value).code, /^manifest_/)
    })
  }

  it('names every wrong place at once, with the line it stands on', () => {
    const text =
      'name: demo\nmodel: { family: gpt2, layers: 2, width: 96, heads: 4, context: 64 }\ntokenizer:\n  kind: bytes\nstrategy:\n  quorm: 2\n  innerSteps: -3\noptimizer: { learningRate: 1 }\n'
    const error = refused(text, 'run.yaml')
    const issues = (error.details as { issues: Issue[] }).issues
    assert.deepEqual(issues.map(issue => [issue.path, issue.line]).sort(), [
      ['strategy.innerSteps', 7],
      ['strategy.quorm', 6]
    ])
    assert.match(error.message, /run\.yaml \(line 6\)/)
  })

  it('says on which line a text is not YAML', () => {
    const error = refused('name: demo\nmodel: { family: gpt2\n', 'run.yaml')
    assert.equal(error.code, 'manifest_syntax')
    assert.match(error.message, /^run\.yaml:\d/)
  })

  it('refuses a text above its bound and a bomb of aliases', () => {
    assert.equal(refused(`name: ${'x'.repeat(MAX_SPEC_BYTES)}`).code, 'manifest_too_large')
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((k, i) => `${k}: &${k} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`)
    ]
    assert.equal(refused(bomb.join('\n')).code, 'manifest_syntax')
  })

  it('reads no text that nests so deep that its parser would end the process', () => {
    for (const text of ['['.repeat(5_000), '{a: '.repeat(5_000), '- '.repeat(5_000), '? '.repeat(5_000)])
      assert.match(refused(text).message, /more than 100 levels/)
  })
})

describe('parseRunSpec() of a llama', () => {
  const LLAMA = { family: 'llama', layers: 2, width: 96, heads: 6, keyValueHeads: 2, hidden: 256, context: 64 }

  it('fills its defaults', () => {
    assert.deepEqual(parseRunSpec(demoWith('model', LLAMA)).model, {
      ...LLAMA,
      tiedEmbeddings: false,
      rmsNormEpsilon: 1e-6,
      ropeTheta: 10_000
    })
  })

  for (const [change, message] of [
    [{ keyValueHeads: 4 }, /model\.keyValueHeads in the run is 4: it must be a divisor of model\.heads, which is 6/],
    [{ width: 30, heads: 6 }, /is even \(30 \/ 6 is not\)/],
    [{ biases: true }, /unknown key model\.biases/]
  ] as const) {
    it(`refuses ${JSON.stringify(change)}`, () => {
      assert.match(refused(demoWith('model', { ...LLAMA, ...change })).message, message)
    })
  }
})

describe('parseRunSpec() of a depth', () => {
  const spec = (model: object) => demoWith('model', model)

  it('says all sizes by it, and leaves the rest to be said', () => {
    assert.deepEqual(parseRunSpec(spec({ family: 'gpt2', depth: 12, biases: false })).model, {
      ...{ family: 'gpt2', layers: 12, width: 768, heads: 12, context: 1024 },
      ...{ biases: false, tiedEmbeddings: true, layerNormEpsilon: 1e-5 }
    })
    assert.deepEqual(parseRunSpec(spec({ family: 'llama', depth: 4, context: 64, keyValueHeads: 2 })).model, {
      ...{ family: 'llama', layers: 4, width: 256, heads: 4, keyValueHeads: 2, hidden: 704, context: 64 },
      ...{ tiedEmbeddings: false, rmsNormEpsilon: 1e-6, ropeTheta: 10_000 }
    })
  })

  it('makes the same manifest as its sizes do, so that a run does not depend on what a depth means', () => {
    const bytes = (model: object) => encodeManifest(resolveManifest(parseRunSpec(spec(model)), RESOLUTION))
    assert.deepEqual(bytes({ family: 'gpt2', depth: 3 }), bytes({ family: 'gpt2', layers: 3, width: 192, heads: 3, context: 256 }))
    const manifest = resolveManifest(parseRunSpec(spec({ family: 'gpt2', depth: 3 })), RESOLUTION)
    const odd = { ...manifest, model: { ...manifest.model, depth: 3 } } as unknown as typeof manifest
    assert.throws(() => decodeManifest(encodeManifest(odd)), { code: 'manifest_unknown_key' })
  })

  for (const [model, message] of [
    [{ family: 'gpt2', depth: 0 }, /model\.depth in the run is 0: it must be an integer from 1 to 64/],
    [{ family: 'llama', depth: '4' }, /model\.depth in the run is "4"/],
    [{ family: 'gpt2', depth: 4, width: 96 }, /model\.width in the run is 96: it must be left out, since model\.depth says it/],
    [{ family: 'llama', depth: 4, hidden: 96 }, /model\.hidden in the run is 96: it must be left out/],
    [
      { family: 'llama', depth: 4, keyValueHeads: 3 },
      /model\.keyValueHeads in the run is 3: it must be a divisor of model\.heads, which is 4/
    ],
    [{ family: 'bert', depth: 4 }, /"bert": it must be one of gpt2, llama/]
  ] as const)
    it(`refuses ${JSON.stringify(model)} with manifest_value`, () => {
      const error = refused(spec(model))
      assert.equal(error.code, 'manifest_value', error.message)
      assert.match(error.message, message)
    })

  it('names the line of a size that contradicts it', () => {
    const text = 'name: demo\nmodel:\n  family: gpt2\n  depth: 4\n  heads: 2\ntokenizer: { kind: bytes }\noptimizer: { learningRate: 1 }\n'
    assert.match(refused(text, 'run.yaml').message, /^model\.heads in run\.yaml is 2 \(line 5\)/)
  })
})

describe('specWarnings()', () => {
  it('warns that a quorum of one can fork', () => {
    const spec = parseRunSpec(demoWith('strategy.quorum', 1))
    assert.match(specWarnings(spec).join(), /can fork/)
  })
})

describe('resolveManifest()', () => {
  it('makes the author an inviter, and an invitation of the short form as good as the long one', () => {
    const admission = (value: unknown) => resolveManifest(parseRunSpec(demoWith('admission', value)), RESOLUTION).admission
    assert.deepEqual(admission('invitation'), { invitation: { inviters: [RESOLUTION.author], grantRounds: 256 } })
    assert.deepEqual(admission({ invitation: { inviters: [PEER_B, RESOLUTION.author], grantRounds: 8 } }), {
      invitation: { inviters: [RESOLUTION.author, PEER_B], grantRounds: 8 }
    })
  })

  it('adds what the author found out and bounds what one contribution may weigh', () => {
    const manifest = resolveManifest(parseRunSpec(demoWith('genesis.peers', [PEER_B, PEER_A])), RESOLUTION)
    assert.equal(manifest.model.vocabulary, 257)
    assert.deepEqual(manifest.genesis, { anchor: CID, peers: [PEER_A, PEER_B] })
    assert.equal(manifest.strategy.maxStepsAhead, 0)
    assert.equal(manifest.strategy.maxTokensPerRound, 50 * 16 * 64)
  })

  it('bounds it so that every accepted contribution can be weighed', () => {
    const { strategy } = resolveManifest(parseRunSpec(demoWith('strategy.maxStepsAhead', 1_000_000)), RESOLUTION)
    assert.ok((50 + 1_000_000) * 16 * 64 > strategy.maxTokensPerRound)
    assert.equal(contributionWeight(strategy.maxTokensPerRound, 0), strategy.maxTokensPerRound)
  })

  it('says every setting of an aggregation that is not left to the mean', () => {
    const aggregation = (spec: object) =>
      resolveManifest(parseRunSpec(demoWith('strategy.aggregation', spec)), RESOLUTION).strategy.aggregation
    assert.deepEqual(aggregation({ name: 'trimmedMean' }), { name: 'trimmedMean', trim: 0.2 })
    assert.deepEqual(aggregation({ name: 'centeredClip' }), { name: 'centeredClip', tau: { times: 0.5 }, iterations: 3 })
    assert.deepEqual(aggregation({ name: 'centeredClip', tau: 2, iterations: 1 }), { name: 'centeredClip', tau: 2, iterations: 1 })
  })

  it('says the screening of new runs, so that what it is by default may change', () => {
    const screening = (spec: object) => resolveManifest(parseRunSpec(spec), RESOLUTION).strategy.screening
    assert.deepEqual(screening(DEMO_SPEC), { normFactor: 4 })
    assert.equal(screening(demoWith('strategy.screening', null) as object), null)
    assert.deepEqual(screening(demoWith('strategy.screening', { normFactor: 2 }) as object), { normFactor: 2 })
  })

  it('refuses a run without any model', () => {
    const spec = parseRunSpec({ name: 'x', genesis: { from: 'dir' }, optimizer: { learningRate: 1 } })
    assert.throws(() => resolveManifest(spec, RESOLUTION), { code: 'manifest_missing_key' })
  })
})

describe('decodeManifest()', () => {
  const manifest = resolveManifest(parseRunSpec(DEMO_SPEC), RESOLUTION)

  it('names a value that has a text of its own', () => {
    const large = 2n ** 63n
    for (const name of [{ toString: large, valueOf: 1 }, large, [large]])
      assert.throws(() => decodeManifest(encodeManifest({ ...manifest, name } as unknown as typeof manifest)), {
        code: 'manifest_value',
        message: /name in .*9223372036854775808/
      })
  })

  it('refuses a weight or a codec that would fail in every node at the first round', () => {
    const withStrategy = (change: object) =>
      encodeManifest({ ...manifest, strategy: { ...manifest.strategy, ...change } } as typeof manifest)
    assert.throws(() => decodeManifest(withStrategy({ maxTokensPerRound: 2 ** 29 + 1 })), {
      code: 'manifest_value',
      message: /strategy\.maxTokensPerRound/
    })
    for (const [codec, field] of [
      [{ name: 'int8', blockSize: 96 }, /strategy\.codec\.blockSize/],
      [{ name: 'topk', density: 2 }, /strategy\.codec\.density/]
    ] as const)
      assert.throws(() => decodeManifest(withStrategy({ codec })), { code: 'manifest_value', message: field })
  })

  it('gives back what was encoded, whatever order its keys had', () => {
    assert.deepEqual(decodeManifest(encodeManifest(manifest)), manifest)
    const shuffled = Object.fromEntries(Object.entries(manifest).reverse()) as typeof manifest
    assert.deepEqual(encodeManifest(shuffled), encodeManifest(manifest))
  })

  it('leaves a manifest that names no aggregation with the bytes it had, so that its run keeps its id', () => {
    const bytes = new Uint8Array(Buffer.from(OLD_MANIFEST, 'base64'))
    const old = decodeManifest(bytes)
    assert.ok(!('aggregation' in old.strategy) && !('screening' in old.strategy))
    assert.deepEqual(encodeManifest(old), bytes)
  })

  it('refuses noise, giants, other versions and keys it would not obey', () => {
    assert.throws(() => decodeManifest(new Uint8Array([1, 2, 3])), { code: 'manifest_damaged' })
    assert.throws(() => decodeManifest(new Uint8Array(MAX_MANIFEST_BYTES + 1)), { code: 'manifest_too_large' })
    const odd = (extra: object) => encodeManifest({ ...manifest, ...extra } as typeof manifest)
    assert.throws(() => decodeManifest(odd({ version: 2 })), { code: 'manifest_version' })
    assert.throws(() => decodeManifest(odd({ surprise: true })), { code: 'manifest_unknown_key' })
    assert.throws(() => decodeManifest(odd({ seed: -1 })), { code: 'manifest_value' })
  })
})

describe('openManifest()', () => {
  it("opens what its author signed; the block's CID is the run's id", async () => {
    const key = await generateKeyPair('Ed25519')
    const manifest = resolveManifest(parseRunSpec(DEMO_SPEC), { ...RESOLUTION, author: peerIdFromPrivateKey(key).toString() })
    const signed = await signManifest(manifest, key)
    assert.deepEqual(await openManifest(signed.bytes), { run: signed.cid, manifest })
    const forged = signed.bytes.slice()
    forged[forged.length - 1]! ^= 1
    await assert.rejects(openManifest(forged), { code: 'manifest_signature' })
    await assert.rejects(openManifest(new Uint8Array([1, 2, 3])), { code: 'manifest_damaged' })
    await assert.rejects(openManifest(new Uint8Array(300_000)), { code: 'manifest_too_large' })
  })

  it('refuses to sign for another author', async () => {
    const manifest = resolveManifest(parseRunSpec(DEMO_SPEC), {
      ...RESOLUTION,
      author: peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString()
    })
    await assert.rejects(signManifest(manifest, await generateKeyPair('Ed25519')), { code: 'wrong_signer' })
  })
})
