// What one message of the DHT may be, and what is written down of them: kad-dht bounds neither. It reads up to 4 MiB, and makes an object of each of the
// addresses in it before it looks at who sent them.
import type { Stream } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { ProviderRecords } from './node-providers.ts'

/** Bytes of a question: a key, or a provider with its addresses. */
const MAX_QUESTION_BYTES = 8 * 1024
/** Bytes of an answer: twenty peers near a key and as many of its providers, each with all the addresses that are kept of it at their longest. */
const MAX_ANSWER_BYTES = 128 * 1024
/** Peers near a key, and providers of it, in one answer: as many as an honest node gives. All that are named are kept for hours, and called. */
const MAX_NAMED = 20

interface Answer {
  closer: unknown[]
  providers: unknown[]
}

/** Parts of kad-dht that its interface does not name. */
interface DhtParts {
  rpc: { onIncomingStream(stream: Stream, connection: unknown): Promise<void> }
  network: { _writeReadMessage(stream: Stream, message: unknown, options: unknown): Promise<Answer> }
}

/** From now on a stream on which more comes is ended, and of an answer that names more peers the first are taken. Before the DHT is started: then it hands its parts over. */
export function boundMessages(dht: KadDHT): void {
  const { rpc, network } = dht as unknown as DhtParts
  const [answer, ask] = [rpc.onIncomingStream.bind(rpc), network._writeReadMessage.bind(network)]
  rpc.onIncomingStream = (stream, connection) => answer(bounded(stream, MAX_QUESTION_BYTES), connection)
  network._writeReadMessage = async (stream, message, options) => {
    const answer = await ask(bounded(stream, MAX_ANSWER_BYTES), message, options)
    return { ...answer, closer: answer.closer.slice(0, MAX_NAMED), providers: answer.providers.slice(0, MAX_NAMED) }
  }
}

/** The factory of a DHT that writes down providers, a bounded number of them, and nothing else: not into the store that holds what libp2p knows of peers. */
export function withProviders<C extends object>(factory: (components: C) => KadDHT): (components: C) => KadDHT {
  return components => factory(Object.create(components, { datastore: { value: new ProviderRecords() } }))
}

function bounded(stream: Stream, bytesMax: number): Stream {
  let bytes = 0
  stream.addEventListener('message', event => {
    bytes += event.data.byteLength
    if (bytes <= bytesMax) return
    // Or the reader, who listens too, might find all of it there before it hears of the end.
    event.stopImmediatePropagation()
    stream.abort(new Error(`more than ${bytesMax} bytes came on a stream of the DHT`))
  })
  return stream
}
