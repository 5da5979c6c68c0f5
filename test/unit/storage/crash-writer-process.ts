// Writes to a home for ever and says on standard output what it was promised, line by line; crash.test.ts kills it in the midst.
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { openStore, orderedKey, storedTensor, writeCheckpoint, writeSafetensorsFile } from '../../../storage/index.ts'
import { putRaw } from './stored-blocks.ts'

const [home, life] = process.argv.slice(2) as [string, string]
const store = await openStore(home)
const acknowledge = (...words: string[]): void => {
  writeSync(1, `${words.join(' ')}\n`)
}

async function writeBlocks(writer: number): Promise<never> {
  for (let n = 0; ; n++) {
    const cid = await putRaw(store.blocks, Buffer.from(`${life} ${writer} ${n} `.repeat(1 + ((n * 79_191) % 100_000))), {
      durable: n % 2 === 0
    })
    acknowledge('block', cid)
    const key = `${life}-${writer}/${orderedKey(n)}`
    await store.records.batch([{ type: 'put', table: 'own', key, value: { cid } }], { sync: n % 2 === 0 })
    acknowledge('record', key, cid)
  }
}

/** Large enough that a kill nearly always finds it half-written. */
async function writeState(): Promise<never> {
  for (let n = 0; ; n++) {
    await writeSafetensorsFile(join(home, 'state.safetensors'), [storedTensor('x', [1_000_000], new Float32Array(1_000_000).fill(n))], {
      n: String(n)
    })
    acknowledge('state', String(n))
  }
}

async function writeCheckpoints(): Promise<never> {
  for (let n = 0; ; n++) {
    const tensors = [storedTensor('x', [1000], new Float32Array(1000).fill(n))]
    await writeCheckpoint(join(home, 'checkpoints', `${life}-${n}`), { config: { n }, tensors, files: { 'tokenizer.json': '{}' } })
    acknowledge('checkpoint', `${life}-${n}`)
  }
}

await Promise.all([...[0, 1, 2, 3, 4, 5].map(writeBlocks), writeState(), writeCheckpoints()])
