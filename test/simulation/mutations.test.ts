// The table of mutations cannot rot: each still names exactly one place of the compiled rules.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MUTATIONS, occurrences } from './mutations.ts'
import { TRIALS } from './trials.ts'

const RULES = join(import.meta.dirname, '../../protocols/rounds')

describe('mutations of the round rules', () => {
  it('each match one place of the compiled rules', () => {
    const edits = MUTATIONS.flatMap(({ defence, file, from, to, and }) => [
      { defence, file, from, to },
      ...(and === undefined ? [] : [{ defence, ...and }])
    ])
    const wrong = edits
      .map(edit => ({ defence: edit.defence, matches: occurrences(readFileSync(join(RULES, edit.file), 'utf8'), edit) }))
      .filter(({ matches }) => matches !== 1)
    assert.deepEqual(wrong, [])
  })

  it('each name a trial that there is', () => {
    const trials = new Set(TRIALS.map(({ name }) => name))
    assert.deepEqual(
      MUTATIONS.filter(({ noticedBy }) => !trials.has(noticedBy)),
      []
    )
  })
})
