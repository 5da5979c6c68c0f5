import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { ControlClient, locateDaemon } from '../../../../protocols/control/index.ts'
import { encodeServerSentEvent, HEARTBEAT, parseServerSentEvents } from '../../../../protocols/control/server-sent-events.ts'

async function* inPieces(text: string, size: number) {
  const bytes = new TextEncoder().encode(text)
  for (let i = 0; i < bytes.length; i += size) yield bytes.slice(i, i + size)
}

describe('parseServerSentEvents()', () => {
  const stream =
    encodeServerSentEvent({ id: 7, event: 'round', data: '{"a":"ü"}' }) + HEARTBEAT + encodeServerSentEvent({ data: 'two\nlines' })

  for (const size of [1, 2, 3, 1000]) {
    it(`gives the same events however the bytes were cut (${size} at a time)`, async () => {
      const events = []
      for await (const event of parseServerSentEvents(inPieces(stream, size), 1000)) events.push(event)
      assert.deepEqual(events, [
        { id: '7', event: 'round', data: '{"a":"ü"}' },
        { id: '', event: 'message', data: 'two\nlines' }
      ])
    })
  }

  it('reads CRLF, too', async () => {
    const events = []
    for await (const event of parseServerSentEvents(inPieces(stream.replaceAll('\n', '\r\n'), 1), 1000)) events.push(event.data)
    assert.deepEqual(events, ['{"a":"ü"}', 'two\nlines'])
  })

  it('refuses an event above the bound', async () => {
    await assert.rejects(
      async () => {
        for await (const _ of parseServerSentEvents(inPieces(`data: ${'x'.repeat(2000)}`, 100), 1000)) assert.fail()
      },
      { code: 'answer_too_large' }
    )
  })
})

describe('locateDaemon()', () => {
  const files = (map: Record<string, string>) => async (path: string) => map[path]
  const facts = JSON.stringify({ schema: 1, pid: process.pid, api: 'http://127.0.0.1:1', peer: 'p' })

  it('reads the address and the token of a home', async () => {
    const found = await locateDaemon('/h', files({ '/h/daemon.json': facts, '/h/api-token': 'secret\n' }))
    assert.deepEqual(found, { api: 'http://127.0.0.1:1', token: 'secret', pid: process.pid, peer: 'p' })
  })

  it('finds nobody, and asks for no token, where the process that wrote of itself is gone', async () => {
    const { pid } = spawnSync(process.execPath, ['--version'])
    const left = { '/h/daemon.json': JSON.stringify({ schema: 1, pid, api: 'http://127.0.0.1:1', peer: 'p' }) }
    await assert.rejects(locateDaemon('/h', files(left)), { code: 'daemon_not_running' })
  })

  it('says what is missing', async () => {
    await assert.rejects(locateDaemon('/h', files({})), { code: 'daemon_not_running' })
    await assert.rejects(locateDaemon('/h', files({ '/h/daemon.json': facts })), { code: 'api_token_missing' })
    await assert.rejects(locateDaemon('/h', files({ '/h/daemon.json': '{' })), { code: 'daemon_file_damaged' })
  })
})

describe('ControlClient', () => {
  it('says that no daemon runs where nothing listens', async () => {
    const client = new ControlClient({ api: 'http://127.0.0.1:1', token: 't' })
    await assert.rejects(client.status(), { code: 'daemon_not_running' })
  })
})
