// Server-sent events as the WHATWG describes them, the part that the control API uses: id, event, data, comments.
import { ControlError } from './errors.ts'

/** One event off a stream. */
export interface ServerSentEvent {
  id: string
  /** `message` where the server named none. */
  event: string
  data: string
}

/** The bytes of one event; line breaks inside `data` become several data lines. */
export function encodeServerSentEvent(event: { id?: string | number; event?: string; data: string }): string {
  const head = (event.id === undefined ? '' : `id: ${event.id}\n`) + (event.event === undefined ? '' : `event: ${event.event}\n`)
  const data = event.data
    .split(/\r\n|\r|\n/)
    .map(line => `data: ${line}\n`)
    .join('')
  return `${head}${data}\n`
}

/** A comment line, which readers skip: what keeps an idle stream alive. */
export const HEARTBEAT = ': still here\n\n'

/** Cuts a byte stream into events. @throws ControlError `answer_too_large` when one event would exceed `maxBytes` */
export async function* parseServerSentEvents(bytes: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of bytes) {
    rest += decoder.decode(chunk, { stream: true })
    // A lone CR at the end may be the first half of CRLF.
    const whole = rest.endsWith('\r') ? rest.slice(0, -1) : rest
    const blocks = whole.replaceAll('\r\n', '\n').replaceAll('\r', '\n').split('\n\n')
    const last = blocks.pop() ?? ''
    rest = last + rest.slice(whole.length)
    for (const block of blocks) {
      if (block.length > maxBytes) throw tooLarge(maxBytes)
      const event = parseBlock(block)
      if (event !== undefined) yield event
    }
    if (rest.length > maxBytes) throw tooLarge(maxBytes)
  }
}

function tooLarge(maxBytes: number): ControlError {
  return new ControlError('answer_too_large', `a server-sent event exceeds ${maxBytes} bytes`)
}

function parseBlock(block: string): ServerSentEvent | undefined {
  let id = ''
  let event = 'message'
  const data: string[] = []
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon === 0 || line === '') continue
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') data.push(value)
    else if (field === 'event') event = value
    else if (field === 'id') id = value
  }
  return data.length === 0 ? undefined : { id, event, data: data.join('\n') }
}
