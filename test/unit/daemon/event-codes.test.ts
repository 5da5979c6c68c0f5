import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { meaningOf } from '../../../daemon/event-codes.ts'

const README = readFileSync(join(import.meta.dirname, '../../../../README.md'), 'utf8')

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

  it('says both of a code that stands for two things, and nothing of what is none', () => {
    assert.match(meaningOf('peer_silent')!, /gave nothing by the deadline.* Or: .*presence/)
    assert.equal(meaningOf('constructor'), null)
  })
})
