// The scenarios that are kept for `npm run meshes` can be read: a key that was renamed must not come to light when somebody needs them.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseScenario } from '../../../../cli/mesh/scenario.ts'

const FOLDER = resolve(import.meta.dirname, '../../../../../test/mesh/scenarios')

describe('the kept scenarios', () => {
  for (const name of readdirSync(FOLDER).filter(name => name !== 'tiny.yaml')) {
    it(`${name} can be read, and expects one anchor and a word of whoever is parted`, () => {
      const { run, steps, expect } = parseScenario(readFileSync(join(FOLDER, name), 'utf8'), {}, name)
      assert.equal(run, 'tiny.yaml')
      assert.ok(expect.some(entry => entry.name === 'equalAnchors'))
      const telling = expect.flatMap(entry => (entry.name === 'tells' ? Object.keys(entry.codes).map(Number) : []))
      for (const step of steps) {
        if (step.do !== 'partition') continue
        for (const deaf of step.oneWay ? step.groups.slice(0, 1) : step.groups)
          assert.ok(
            deaf.some(node => telling.includes(node)),
            `nobody of ${deaf.join(' ')} has to tell of it`
          )
      }
    })
  }
})
