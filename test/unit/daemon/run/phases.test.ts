import assert from 'node:assert/strict'
import { EventLog } from '../../../../daemon/events.ts'
import { Phases } from '../../../../daemon/run/phases.ts'
import type { Phase } from '../../../../protocols/control/constants.ts'
import { MemoryTable } from '../memory-table.ts'

describe('Phases', () => {
  let events: EventLog
  beforeEach(async () => {
    events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
  })

  /** Whether the node stays there. */
  const stays = async (phases: Phases, phase: Phase, round: number, isCloser: boolean): Promise<boolean> => {
    let isThrough = false
    void phases
      .enter(phase, round, () => isCloser)
      .then(() => {
        isThrough = true
      })
    await new Promise(setImmediate)
    return !isThrough
  }
  const told = async () => (await events.tail(100)).map(({ round, data }) => ({ round, ...data }))

  it('are told once each, and nobody stays in one unasked', async () => {
    const phases = new Phases(events, 'run', null)
    for (const round of [1, 1, 2]) assert.equal(await stays(phases, 'closing', round, true), false)
    assert.deepEqual(await told(), [
      { round: 1, phase: 'closing', held: false },
      { round: 2, phase: 'closing', held: false }
    ])
  })

  it('are told once more when as many as are remembered were told since', async () => {
    const phases = new Phases(events, 'run', null)
    for (let round = 1; round <= 256; round++) await phases.enter('closing', round, () => false)
    await phases.enter('closing', 1, () => false)
    const roundOne = async () => (await events.tail(1_000)).filter(({ round }) => round === 1).length
    assert.equal(await roundOne(), 1)
    await phases.enter('closing', 257, () => false)
    await phases.enter('closing', 1, () => false)
    assert.equal(await roundOne(), 2)
  })

  it('hold a node the first time it comes to the phase from the round on, closer or not', async () => {
    const phases = new Phases(events, 'run', 'closing@3')
    assert.equal(await stays(phases, 'closing', 2, true), false)
    assert.equal(await stays(phases, 'computing', 3, true), false)
    assert.equal(await stays(phases, 'closing', 5, false), true)
    assert.deepEqual((await told()).at(-1), { round: 5, phase: 'closing', held: true })
  })

  it('hold the closer of the one round only, also where it learns that it is while it is in the phase', async () => {
    const phases = new Phases(events, 'run', 'fetching@3:closer')
    assert.equal(await stays(phases, 'fetching', 2, true), false)
    assert.equal(await stays(phases, 'fetching', 3, false), false)
    assert.equal(await stays(phases, 'fetching', 3, true), true)
    assert.equal(await stays(phases, 'fetching', 4, true), false, 'by then another node was held')
    assert.deepEqual(
      (await told()).filter(({ round }) => round === 3),
      [
        { round: 3, phase: 'fetching', held: false },
        { round: 3, phase: 'fetching', held: true, closer: true }
      ]
    )
  })
})
