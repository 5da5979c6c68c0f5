// The table of mutations cannot rot: each still names exactly one place of the compiled rules.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MUTATIONS, occurrences } from './mutations.ts'

const RULES = join(import.meta.dirname, '../../protocols/rounds')

describe('mutations of the round rules', () => {
  it('each match one place of the compiled rules', () => {
    const wrong = MUTATIONS.map(mutation => ({
      defence: mutation.defence,
      matches: occurrences(readFileSync(join(RULES, mutation.file), 'utf8'), mutation)
    })).filter(({ matches }) => matches !== 1)
    assert.deepEqual(wrong, [])
  })
})
