import assert from 'node:assert/strict'
import type { OwnContribution } from '../../../../daemon/run/ledger.ts'
import { type OwnFile, unneededFiles } from '../../../../daemon/run/own-files.ts'

const row = (sequence: number, fate: OwnContribution['fate'], cid: string | null = `c${sequence}`): OwnContribution => ({
  ...{ sequence, round: sequence, parent: 'p', steps: 1, tokens: 1, loss: 1, cid, body: cid, fate }
})
const files = (kind: OwnFile['kind'], ...sequences: number[]): OwnFile[] => sequences.map(sequence => ({ kind, sequence }))
const unneeded = (some: OwnFile[], rows: OwnContribution[]): number[] => unneededFiles(some, rows).map(({ sequence }) => sequence)

describe('unneededFiles()', () => {
  const rows = [row(7, 'lost'), row(6, 'made', null), row(5, 'restored', null), row(4, 'included'), row(3, 'made', null)]

  it('leaves the deltas of what can still be offered or put back, and the newest, by which a trainer numbers on', () => {
    assert.deepEqual(unneeded(files('delta', 1, 3, 4, 5, 6, 7), rows), [1, 4, 5])
    assert.deepEqual(unneeded(files('delta', 4, 5, 7, 8, 9), rows), [4, 5, 7], 'a snapshot may have no row yet')
    assert.deepEqual(
      unneeded(files('delta', 6, 7, 8), [row(8, 'made', null), row(7, 'lost', null), row(6, 'lost')]),
      [6],
      'lost before it was encoded'
    )
  })

  it('leaves of the residuals that of the newest that was offered, and of one that may be being offered', () => {
    assert.deepEqual(unneeded(files('residual', 4, 5, 6, 7), rows), [4, 5])
  })

  it('leaves what was sent of those that are still to be put back', () => {
    assert.deepEqual(unneeded(files('sent', 1, 4, 5, 7), rows), [1, 4, 5])
  })

  it('takes nothing where the ledger knows of no contribution', () => {
    assert.deepEqual(unneeded([...files('delta', 1, 2), ...files('residual', 1)], []), [])
  })
})
