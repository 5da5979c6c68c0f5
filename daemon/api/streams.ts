// Server-sent events: the event log from any id on, and log lines as they come. A reader that breaks off goes on with the last id it saw.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type EventType, HEARTBEAT_MS } from '../../protocols/control/constants.ts'
import { encodeServerSentEvent, HEARTBEAT } from '../../protocols/control/server-sent-events.ts'
import { DaemonError } from '../errors.ts'
import type { EventLog } from '../events.ts'
import type { Log } from '../logging/log.ts'
import { SAFE_HEADERS } from './answers.ts'
import { MAX_STREAMS, MAX_WAITING_BYTES, STREAM_PAGE } from './constants.ts'

/** The open streams of one server. */
export class Streams {
  readonly #open = new Set<ServerResponse>()
  readonly #heartbeatMs: number

  constructor(options: { heartbeatMs?: number } = {}) {
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS
  }

  /** Sends every event after `since`, then each new one, until the reader leaves; of one type, where it is given. */
  async events(response: ServerResponse, log: EventLog, since: number, type?: EventType): Promise<void> {
    const stream = this.#begin(response)
    let wake = () => {}
    const leave = log.subscribe(() => wake())
    // Once, and not a race at each event: what a race hangs onto a reader who stays is let go of when he leaves.
    void stream.left.then(() => wake())
    let last = since
    try {
      while (!stream.signal.aborted) {
        // The log itself is the buffer: a slow reader costs no memory here, and nothing is lost between two reads.
        const woken = new Promise<void>(resolve => {
          wake = resolve
        })
        const page = await log.since(last, STREAM_PAGE)
        for (const event of page) {
          if (type === undefined || event.type === type)
            await write(response, encodeServerSentEvent({ id: event.id, event: event.type, data: JSON.stringify(event) }), stream.signal)
          last = event.id
        }
        if (page.length === 0) await woken
      }
    } catch (error) {
      if (!stream.signal.aborted) throw error
    } finally {
      leave()
      stream.end()
    }
  }

  /** Sends the last lines, then each new one; a reader slower than the log misses lines. */
  async lines(response: ServerResponse, log: Log, tail: number, format: (json: string) => string): Promise<void> {
    const stream = this.#begin(response)
    const send = (json: string) => {
      if (takesMore(response)) response.write(encodeServerSentEvent({ data: format(json) }))
    }
    for (const json of log.tail(tail)) send(json)
    const leave = log.subscribe(send)
    await stream.left
    leave()
    stream.end()
  }

  /** Ends every stream: readers see the end, not a broken connection. */
  close(): void {
    for (const response of this.#open) response.end()
  }

  #begin(response: ServerResponse): { signal: AbortSignal; left: Promise<void>; end: () => void } {
    if (this.#open.size >= MAX_STREAMS) throw new DaemonError('too_many_streams', `${MAX_STREAMS} streams are open, no more are served`)
    this.#open.add(response)
    const controller = new AbortController()
    const left = new Promise<void>(resolve => {
      const stop = () => {
        controller.abort()
        resolve()
      }
      response.once('close', stop)
      response.once('finish', stop)
    })
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', ...SAFE_HEADERS })
    response.write(HEARTBEAT)
    const timer = setInterval(() => {
      if (takesMore(response)) response.write(HEARTBEAT)
    }, this.#heartbeatMs)
    return {
      signal: controller.signal,
      left,
      end: () => {
        clearInterval(timer)
        this.#open.delete(response)
        response.end()
      }
    }
  }
}

/** True where the client asks for a stream. */
export function wantsStream(request: IncomingMessage): boolean {
  return (request.headers.accept ?? '').includes('text/event-stream')
}

/** One that was ended is still here until a slow reader has taken it all; a write would fail where nobody catches it. */
function takesMore(response: ServerResponse): boolean {
  return !response.writableEnded && response.writableLength < MAX_WAITING_BYTES
}

async function write(response: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted || response.writableEnded) return
  if (!response.write(text)) await once(response, 'drain', { signal })
}
