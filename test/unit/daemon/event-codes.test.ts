import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { meaningOf } from '../../../daemon/event-codes.ts'

const DIST = join(import.meta.dirname, '../../..')
const README = readFileSync(join(DIST, '../README.md'), 'utf8')

/** Where what a run does may fail. */
const OF_RUNS = ['daemon/run', 'daemon/arithmetic', 'training/data']
/** What a request is answered with, or the trainer says of its own faults: these are in no event. */
const ANSWERS = [
  'already_joined',
  'bad_batch',
  'bad_invitation',
  'bad_position',
  'bad_request',
  'bad_token_id',
  'manifest_missing_key',
  'not_joined',
  'safetensors_missing',
  'unknown_era',
  'unknown_invitation',
  'unknown_round'
]

describe('meaningOf()', () => {
  it('has a sentence for every code that the table of events names', () => {
    const codes = README.split('\n')
      .filter(line => /^\|.*\((events?|health)[,)]/.test(line))
      .flatMap(line =>
        [
          ...line
            .split('|')[2]!
            .replaceAll(/gauge `\w+`/g, '')
            .matchAll(/`([a-z]+(?:_[a-z]+)*)`/g)
        ].map(([, code]) => code!)
      )
      .filter(code => code.includes('_'))
    assert.ok(codes.length > 20, `only ${codes.join()}`)
    assert.deepEqual(
      codes.filter(code => meaningOf(code) === null),
      []
    )
  })

  it('has a sentence for every code that what a run does may fail with', () => {
    const codes = new Set(ANSWERS)
    const count = codes.size
    for (const room of OF_RUNS)
      for (const file of readdirSync(join(DIST, room), { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.js')) continue
        const thrown = readFileSync(join(DIST, room, file), 'utf8').matchAll(/new \w+Error\(\s*'(\w+)'/g)
        for (const [, code] of thrown) codes.add(code!)
      }
    assert.ok(codes.size > count + 20, `only ${[...codes].join()}`)
    assert.deepEqual(
      [...codes].filter(code => !ANSWERS.includes(code) && meaningOf(code) === null),
      []
    )
  })

  it('says both of a code that stands for two things, and nothing of what is none', () => {
    assert.match(meaningOf('peer_silent')!, /gave nothing by the deadline.* Or: .*presence/)
    assert.equal(meaningOf('constructor'), null)
  })
})
