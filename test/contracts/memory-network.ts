// Nodes joined in memory: frames are queued and handed over in later turns, a dead node answers nobody.
import { isProtocolError } from '../../protocols/errors.ts'
import type { FrameHandler, FrameNode, FrameStream, GossipNode, GossipReceiver, GossipVerdict } from '../../protocols/frame-stream.ts'

export class MemoryNetwork {
  readonly #nodes = new Map<string, MemoryNode>()

  node(peer: string): MemoryNode {
    const node = new MemoryNode(peer, this.#nodes)
    this.#nodes.set(peer, node)
    return node
  }

  kill(peer: string): void {
    this.#nodes.get(peer)?.breakStreams()
    this.#nodes.delete(peer)
  }
}

export class MemoryNode implements FrameNode, GossipNode {
  readonly peer: string
  readonly #nodes: Map<string, MemoryNode>
  readonly #handlers = new Map<string, FrameHandler>()
  readonly #receivers = new Map<string, GossipReceiver>()
  readonly #streams = new Set<FrameStream>()
  /** Messages that its receivers threw at, as a node says of them. */
  readonly refused: { from: string; code: string }[] = []
  streamsOpened = 0

  constructor(peer: string, nodes: Map<string, MemoryNode>) {
    this.peer = peer
    this.#nodes = nodes
  }

  async handle(protocol: string, handler: FrameHandler): Promise<void> {
    this.#handlers.set(protocol, handler)
  }

  async unhandle(protocol: string): Promise<void> {
    this.#handlers.delete(protocol)
  }

  async openStream(peer: string, protocol: string, options: { signal?: AbortSignal } = {}): Promise<FrameStream> {
    options.signal?.throwIfAborted()
    const remote = this.#nodes.get(peer)
    const handler = remote === undefined ? undefined : remote.#handlers.get(protocol)
    if (remote === undefined || handler === undefined) throw new Error(`no ${protocol} at ${peer}`)
    const [near, far] = framePair()
    this.streamsOpened += 1
    this.#streams.add(near)
    remote.#streams.add(far)
    handler(far, this.peer, `/memory/${this.peer}`).catch(error => far.abort(error as Error))
    return near
  }

  breakStreams(): void {
    for (const stream of this.#streams) stream.abort(new Error('killed'))
  }

  async publish(topic: string, bytes: Uint8Array): Promise<void> {
    for (const node of this.#nodes.values()) if (node !== this) await node.receive(topic, bytes, this.peer)
  }

  async receive(topic: string, bytes: Uint8Array, from: string): Promise<GossipVerdict> {
    const receiver = this.#receivers.get(topic)
    try {
      return (await receiver?.(bytes, from)) ?? 'ignore'
    } catch (error) {
      if (!isProtocolError(error)) throw error
      this.refused.push({ from, code: error.code })
      return 'reject'
    }
  }

  subscribe(topic: string, receive: GossipReceiver): void {
    this.#receivers.set(topic, receive)
  }

  unsubscribe(topic: string): void {
    this.#receivers.delete(topic)
  }
}

/** Two ends of one stream. */
export function framePair(): [FrameStream, FrameStream] {
  const there = new Lane()
  const back = new Lane()
  return [end(there, back), end(back, there)]
}

function end(out: Lane, into: Lane): FrameStream {
  return {
    get heardMs() {
      return into.heardMs
    },
    get heardBytes() {
      return into.heardBytes
    },
    read: options => into.take(options?.signal),
    async write(frames) {
      for (const frame of frames) out.put(frame.slice())
      await new Promise(resolve => setImmediate(resolve))
    },
    async close() {
      out.end()
    },
    abort(error) {
      out.fail(error)
      into.fail(error)
    }
  }
}

class Lane {
  #frames: Uint8Array[] = []
  #ended = false
  #error: Error | undefined
  #waiting: (() => void) | undefined
  heardMs = performance.now()
  heardBytes = 0

  put(frame: Uint8Array): void {
    if (this.#error !== undefined) throw this.#error
    this.heardMs = performance.now()
    this.heardBytes += frame.length
    this.#frames.push(frame)
    this.#waiting?.()
  }

  end(): void {
    this.#ended = true
    this.#waiting?.()
  }

  fail(error: Error): void {
    this.#error ??= error
    this.#waiting?.()
  }

  async take(signal?: AbortSignal): Promise<Uint8Array | null> {
    for (;;) {
      signal?.throwIfAborted()
      if (this.#error !== undefined) throw this.#error
      const frame = this.#frames.shift()
      if (frame !== undefined) return frame
      if (this.#ended) return null
      const { promise, resolve } = Promise.withResolvers<void>()
      const onAbort = () => resolve()
      this.#waiting = resolve
      signal?.addEventListener('abort', onAbort)
      await promise
      signal?.removeEventListener('abort', onAbort)
    }
  }
}
