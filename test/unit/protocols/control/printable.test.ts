import assert from 'node:assert/strict'
import { oneLine, plainJson, severalLines } from '../../../../protocols/control/printable.ts'

describe('text on its way to a terminal', () => {
  it('loses control characters of both sets and turns of direction, and keeps other scripts', () => {
    assert.equal(oneLine('a\r\n\tb\u001b[2Jc\u009b1md\u202ee\u2028f'), 'a b [2Jc 1md e f')
    assert.equal(severalLines('a\r\n\tb\u001b[2Jc\u009b1md\u202ee\u2028f'), 'a \n\tb [2Jc 1md e f')
    assert.equal(oneLine('größe \u05d0 ünï 東'), 'größe \u05d0 ünï 東')
  })

  it('means the same as JSON, which gives no orders either', () => {
    const value = { name: 'größe \u009b31m\u202ex\u007f', text: 'a\n\u001bb 東' }
    const json = plainJson(JSON.stringify(value, null, 2))
    assert.deepEqual(JSON.parse(json), value)
    assert.equal(severalLines(json), json)
  })
})
