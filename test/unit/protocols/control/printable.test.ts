import assert from 'node:assert/strict'
import { oneLine, severalLines } from '../../../../protocols/control/printable.ts'

describe('text on its way to a terminal', () => {
  it('loses control characters of both sets and turns of direction, and keeps other scripts', () => {
    assert.equal(oneLine('a\r\n\tb\u001b[2Jc\u009b1md\u202ee\u2028f'), 'a b [2Jc 1md e f')
    assert.equal(severalLines('a\r\n\tb\u001b[2Jc\u009b1md\u202ee\u2028f'), 'a \n\tb [2Jc 1md e f')
    assert.equal(oneLine('größe \u05d0 ünï 東'), 'größe \u05d0 ünï 東')
  })
})
