// Puts a block hastily and then durably, and ends; store.test.ts then takes from the home what a power cut would have.
import { openStore } from '../../../storage/index.ts'

const [home, text] = process.argv.slice(2) as [string, string]
const store = await openStore(home)
await store.blocks.putRaw(Buffer.from(text))
await store.blocks.putRaw(Buffer.from(text), { durable: true })
await store.close()
