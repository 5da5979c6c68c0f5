import assert from 'node:assert/strict'
import { SoughtAnchors } from '../../../../daemon/run/sought-anchors.ts'

describe('SoughtAnchors', () => {
  /** Anchors that come when they are given, and which were abandoned. */
  function seeking() {
    const abandoned: string[] = []
    const given = new Map<string, () => void>()
    const sought = new SoughtAnchors(anchor => abandoned.push(anchor))
    const fetch = (anchor: string) =>
      sought.fetch(
        anchor,
        signal =>
          new Promise((resolve, reject) => {
            given.set(anchor, resolve)
            signal.addEventListener('abort', () => reject(signal.reason))
          })
      )
    return { abandoned, given, fetch, turn: () => new Promise(resolve => setImmediate(resolve)) }
  }

  it('lets the oldest of three go, and says so when nothing more of it comes', async () => {
    const { abandoned, given, fetch } = seeking()
    const first = assert.rejects(fetch('first'), { code: 'block_unavailable' })
    const second = fetch('second')
    const third = fetch('third')
    assert.deepEqual(abandoned, [])
    await first
    given.get('second')!()
    given.get('third')!()
    await Promise.all([second, third])
    assert.deepEqual(abandoned, ['first'])
  })

  it('keeps one that is sought again, whole or not, before those that came after it', async () => {
    const { abandoned, given, fetch, turn } = seeking()
    for (const anchor of ['one', 'two', 'one']) {
      const fetched = fetch(anchor)
      given.get(anchor)!()
      await fetched
    }
    const last = fetch('three')
    given.get('three')!()
    await last
    await turn()
    assert.deepEqual(abandoned, ['two'])
  })
})
