import assert from 'node:assert/strict'
import fc from 'fast-check'
import { LooseBlocks } from '../../../../daemon/run/loose-blocks.ts'

const BYTES = new Uint8Array()

/** A disk that does each thing when `inTime` says so. */
function memoryDisk(inTime: <T>(task: () => T) => Promise<T> = async task => task()) {
  const cids = new Set<string>()
  return {
    cids,
    has: (cid: string) => inTime(() => cids.has(cid)),
    put: (cid: string) => inTime(() => void cids.add(cid)),
    delete: (cid: string) => inTime(() => void cids.delete(cid))
  }
}

describe('LooseBlocks', () => {
  it('deletes what is neither held nor needed, and nothing that was there before', async () => {
    const disk = memoryDisk()
    disk.cids.add('there before')
    const needed = new Set(['needed'])
    const loose = new LooseBlocks({ blocks: disk, needed: () => cid => needed.has(cid) })
    const hold = loose.hold()
    for (const cid of ['there before', 'needed', 'noise']) await hold.put(cid, BYTES)
    await loose.sweep()
    assert.deepEqual([...disk.cids].sort(), ['needed', 'noise', 'there before'])
    hold.release()
    await loose.sweep()
    assert.deepEqual([...disk.cids].sort(), ['needed', 'there before'])
    needed.clear()
    await loose.sweep()
    assert.deepEqual([...disk.cids], ['there before'])
  })

  it('says that it is time to sweep before noise fills the disk, and not again for what is needed', async () => {
    const disk = memoryDisk()
    const loose = new LooseBlocks({ blocks: disk, needed: () => cid => cid.startsWith('needed') })
    const put = async (name: string): Promise<void> => {
      const hold = loose.hold()
      await hold.put(name, BYTES)
      hold.release()
    }
    let most = 0
    for (let i = 0; i < 6_000; i++) {
      await put(i < 1_000 ? `needed ${i}` : `noise ${i}`)
      most = Math.max(most, disk.cids.size)
      if (loose.isDue) await loose.sweep()
    }
    assert.ok(most <= 2_048, `${most} at once`)
    assert.equal([...disk.cids].filter(cid => cid.startsWith('needed')).length, 1_000)
  })

  it('lets go what was of a history that is not ours after all, unless it is of ours as well', async () => {
    const disk = memoryDisk()
    for (const cid of ['learned', 'of both']) disk.cids.add(cid)
    const loose = new LooseBlocks({ blocks: disk, needed: () => () => false })
    loose.loosen(['learned', 'of both'])
    await loose.adopted(['of both'])
    await loose.sweep()
    assert.deepEqual([...disk.cids], ['of both'])
  })

  it('lets nothing go while more is adopted than is written down', async () => {
    const disk = memoryDisk()
    let isPending = true
    const loose = new LooseBlocks({ blocks: disk, needed: () => (isPending ? null : () => false) })
    const hold = loose.hold()
    await hold.put('adopted', BYTES)
    hold.release()
    await loose.sweep()
    await loose.adopted(['adopted'])
    isPending = false
    await loose.sweep()
    assert.deepEqual([...disk.cids], ['adopted'])
  })

  it('says where a block could not be deleted, and goes on', async () => {
    const disk = memoryDisk()
    const loose = new LooseBlocks({
      blocks: { ...disk, delete: cid => (cid === 'stuck' ? Promise.reject(new Error('no')) : disk.delete(cid)) },
      needed: () => () => false
    })
    const hold = loose.hold()
    for (const cid of ['stuck', 'noise']) await hold.put(cid, BYTES)
    hold.release()
    await assert.rejects(loose.sweep(), { message: 'no' })
    assert.deepEqual([...disk.cids], ['stuck'])
    await loose.sweep()
  })

  it('deletes nothing that is held, needed or adopted, in whatever order disk and network answer', async () => {
    const cid = fc.constantFrom('a', 'b', 'c')
    const step = fc.record({
      does: fc.constantFrom('take' as const, 'refuse' as const, 'forget' as const, 'adopt' as const, 'sweep' as const),
      cid,
      /** Answers of the disk before it. */
      waits: fc.nat(4)
    })
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(step, { minLength: 10, maxLength: 60 }), async (scheduler, steps) => {
        const disk = memoryDisk(task => scheduler.schedule(Promise.resolve()).then(task))
        disk.cids.add('there before')
        const needed = new Set<string>()
        const adopted = new Set<string>(['there before'])
        const held = new Map<string, number>()
        let pending = 0
        const loose = new LooseBlocks({
          blocks: {
            ...disk,
            delete: async cid => {
              await disk.delete(cid)
              assert.ok(!needed.has(cid) && !adopted.has(cid) && !held.get(cid), `${cid} is gone`)
            }
          },
          needed: () => (pending > 0 ? null : cid => needed.has(cid))
        })
        const bring = async (cid: string, isTaken: boolean): Promise<void> => {
          const hold = loose.hold()
          await hold.put(cid, BYTES)
          held.set(cid, (held.get(cid) ?? 0) + 1)
          assert.ok(disk.cids.has(cid))
          await scheduler.schedule(Promise.resolve())
          if (isTaken && !adopted.has(cid)) needed.add(cid)
          held.set(cid, held.get(cid)! - 1)
          hold.release()
        }
        const adopt = async (cid: string): Promise<void> => {
          if (!needed.delete(cid)) return
          adopted.add(cid)
          pending++
          await scheduler.schedule(Promise.resolve())
          await loose.adopted([cid])
          pending--
        }
        const underWay: Promise<void>[] = []
        for (const { does, cid, waits } of steps) {
          for (let i = 0; i < waits && scheduler.count() > 0; i++) await scheduler.waitOne()
          if (does === 'take' || does === 'refuse') underWay.push(bring(cid, does === 'take'))
          else if (does === 'adopt') underWay.push(adopt(cid))
          else if (does === 'sweep') underWay.push(loose.sweep())
          else needed.delete(cid)
        }
        await scheduler.waitFor(Promise.all(underWay))
        await scheduler.waitFor(loose.sweep())
        assert.deepEqual([...disk.cids].sort(), [...new Set([...needed, ...adopted])].sort())
      }),
      { numRuns: 500 }
    )
  })
})
