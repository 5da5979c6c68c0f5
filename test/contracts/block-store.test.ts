// What every BlockStore must do, run by the store that holds the home's lock and by a second opener of the same files.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cidOf, RAW } from '../../protocols/cids.ts'
import { BLOCK_BYTES_MAX, type BlockStore, openBlockFiles, openStore } from '../../storage/index.ts'
import { countBlocks, putCbor, putRaw } from '../unit/storage/stored-blocks.ts'
import { temporaryHome } from '../unit/storage/temporary-home.ts'

interface Opened {
  blocks: BlockStore
  close(): Promise<void>
}
const openers: Record<string, (home: string) => Promise<Opened>> = {
  'openStore()': async home => {
    const store = await openStore(home)
    return { blocks: store.blocks, close: () => store.close() }
  },
  'openBlockFiles()': async home => {
    const blocks = await openBlockFiles(home)
    return { blocks, close: () => blocks.close() }
  },
  'openBlockFiles() beside a live store': async home => {
    const store = await openStore(home)
    const blocks = await openBlockFiles(home)
    return {
      blocks,
      close: async () => {
        await blocks.close()
        await store.close()
      }
    }
  }
}

const bytes = (count: number, seed = 1): Uint8Array => Uint8Array.from({ length: count }, (_, i) => (i * 31 + seed) & 0xff)
const fileOf = (home: string, cid: string): string => join(home, 'blocks', cid.slice(-3, -1), cid)
const filesIn = (home: string): string[] =>
  readdirSync(join(home, 'blocks'), { recursive: true, encoding: 'utf8' }).filter(name => /[/\\]/.test(name))

for (const [name, open] of Object.entries(openers)) {
  describe(`a BlockStore from ${name}`, () => {
    const home = temporaryHome()
    let blocks: BlockStore
    let close: () => Promise<void>

    beforeEach(async () => {
      ;({ blocks, close } = await open(home()))
    })
    afterEach(() => close())

    it('gives back what was put, durable or not', async () => {
      for (const durable of [true, false]) {
        const content = bytes(1000, Number(durable))
        const cid = await putRaw(blocks, content, { durable })
        assert.equal(await blocks.has(cid), true)
        assert.deepEqual(await blocks.get(cid), content)
      }
    })

    it('takes blocks where their folder was removed meanwhile', async () => {
      for (const durable of [true, false]) {
        const cid = await putRaw(blocks, bytes(10), { durable })
        rmSync(dirname(fileOf(home(), cid)), { recursive: true })
        await putRaw(blocks, bytes(10), { durable })
        assert.deepEqual(await blocks.get(cid), bytes(10))
      }
    })

    it('holds an empty block and one of the largest size', async () => {
      for (const count of [0, 1024 * 1024, BLOCK_BYTES_MAX]) {
        const cid = await putRaw(blocks, bytes(count))
        assert.equal((await blocks.get(cid))?.byteLength, count)
      }
    })

    it('holds bytes and values under the CIDs that everybody else computes', async () => {
      const hello = 'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq'
      await blocks.put(hello, new TextEncoder().encode('hello'))
      assert.equal(await blocks.has(hello), true)
      assert.equal(await putCbor(blocks, { hello: 'world' }), 'bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae')
    })

    it('answers undefined for what it does not hold', async () => {
      const cid = cidOf(bytes(10), RAW)
      assert.equal(await blocks.get(cid), undefined)
      assert.equal(await blocks.has(cid), false)
      await blocks.delete(cid)
    })

    it('refuses bytes that the CID does not name with wrong_bytes and keeps nothing', async () => {
      await assert.rejects(blocks.put(cidOf(bytes(10), RAW), bytes(11)), { code: 'wrong_bytes' })
      assert.deepEqual(filesIn(home()), [])
    })

    it('refuses more than a block holds with block_too_large', async () => {
      await assert.rejects(putRaw(blocks, bytes(BLOCK_BYTES_MAX + 1)), { code: 'block_too_large' })
    })

    it('refuses names that are no CID of a block, paths above all', async () => {
      const good = cidOf(bytes(1), RAW)
      const bad = [
        '',
        '..',
        '../../etc/passwd',
        `../${good}`,
        good.toUpperCase(),
        `${good}/..`,
        `${good} `,
        'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n',
        'a'.repeat(500)
      ]
      for (const cid of bad) {
        for (const call of [() => blocks.get(cid), () => blocks.has(cid), () => blocks.delete(cid), () => blocks.put(cid, bytes(1))]) {
          await assert.rejects(call, { code: 'bad_cid' }, cid)
        }
      }
      await assert.rejects(blocks.get(null as never), { code: 'bad_cid' })
    })

    it('deletes', async () => {
      const cid = await putRaw(blocks, bytes(10))
      await blocks.delete(cid)
      assert.equal(await blocks.has(cid), false)
    })

    it('lists what it holds, with its size, and nothing else', async () => {
      const cids = await Promise.all([1, 2, 3].map(seed => putRaw(blocks, bytes(100, seed))))
      mkdirSync(join(home(), 'blocks', 'corrupt'), { recursive: true })
      writeFileSync(join(home(), 'blocks', 'corrupt', cids[0]!), 'x')
      writeFileSync(`${fileOf(home(), cids[1]!)}.1-0-1.shoal-tmp`, 'x')
      const listed: { cid: string; bytes: number }[] = []
      for await (const row of blocks.list()) listed.push(row)
      assert.deepEqual(
        listed.sort((a, b) => (a.cid < b.cid ? -1 : 1)),
        cids.sort().map(cid => ({ cid, bytes: 100 }))
      )
    })

    it('takes the same block from many writers at once', async () => {
      const content = bytes(100_000)
      const cids = await Promise.all(Array.from({ length: 40 }, (_, i) => putRaw(blocks, content, { durable: i % 2 === 0 })))
      assert.equal(new Set(cids).size, 1)
      assert.deepEqual(await blocks.get(cids[0]!), content)
      assert.equal(filesIn(home()).length, 1)
    })

    for (const [what, damage] of Object.entries({
      'a flipped bit': (path: string) => writeFileSync(path, bytes(1000, 2)),
      'a cut file': (path: string) => writeFileSync(path, bytes(999)),
      'an empty file': (path: string) => writeFileSync(path, ''),
      'a file too large to be a block': (path: string) => writeFileSync(path, bytes(BLOCK_BYTES_MAX + 1)),
      'a folder in its place': (path: string) => {
        rmSync(path)
        mkdirSync(path)
      },
      'a link to somewhere else': (path: string) => {
        rmSync(path)
        symlinkSync('/etc/hostname', path)
      }
    })) {
      it(`moves ${what} aside, tells the listeners once, and takes the block anew`, async () => {
        const heard: string[] = []
        blocks.onCorrupt(cid => heard.push(cid))
        const cid = await putRaw(blocks, bytes(1000))
        damage(fileOf(home(), cid))
        assert.equal(await blocks.get(cid), undefined)
        assert.equal(await blocks.get(cid), undefined)
        assert.equal(await blocks.has(cid), false)
        assert.deepEqual(heard, [cid])
        assert.deepEqual(readdirSync(join(home(), 'blocks', 'corrupt')), [cid])
        await blocks.put(cid, bytes(1000))
        assert.deepEqual(await blocks.get(cid), bytes(1000))
      })
    }

    it('heals a corrupted block by putting it again', async () => {
      const cid = await putRaw(blocks, bytes(1000))
      writeFileSync(fileOf(home(), cid), bytes(1000, 9))
      await blocks.put(cid, bytes(1000))
      assert.deepEqual(await blocks.get(cid), bytes(1000))
    })

    it('keeps what is put while a reader finds the file damaged', async () => {
      const cid = await putRaw(blocks, bytes(1000))
      // Begun so many turns after the put, the reader comes upon the damaged file and to the good one at every step of both.
      for (let turns = 0; turns < 40; turns++) {
        writeFileSync(fileOf(home(), cid), bytes(1000, 2))
        const putting = blocks.put(cid, bytes(1000))
        for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve))
        await Promise.all([putting, blocks.get(cid)])
        assert.deepEqual(await blocks.get(cid), bytes(1000), `after ${turns} turns`)
      }
    })

    it('keeps only so many corrupted files', async () => {
      for (let seed = 0; seed < 70; seed++) {
        const cid = await putRaw(blocks, bytes(4, seed))
        writeFileSync(fileOf(home(), cid), '')
        await blocks.get(cid)
      }
      assert.equal(readdirSync(join(home(), 'blocks', 'corrupt')).length, 64)
      assert.equal(await countBlocks(blocks), 0)
    })
  })
}

describe('two openers of one home', () => {
  const home = temporaryHome()

  it("see each other's blocks", async () => {
    const store = await openStore(home())
    const files = await openBlockFiles(home())
    const cid = await putRaw(files, bytes(10))
    assert.deepEqual(await store.blocks.get(cid), bytes(10))
    await store.blocks.delete(cid)
    assert.equal(await files.has(cid), false)
    await files.close()
    await store.close()
  })
})
