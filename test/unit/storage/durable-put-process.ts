// Puts a block hastily and then durably, and ends; store.test.ts then takes from the home what a power cut would have.
import { openStore } from '../../../storage/index.ts'
import { putRaw } from './stored-blocks.ts'

const [home, text] = process.argv.slice(2) as [string, string]
const store = await openStore(home)
await putRaw(store.blocks, Buffer.from(text))
await putRaw(store.blocks, Buffer.from(text), { durable: true })
await store.close()
