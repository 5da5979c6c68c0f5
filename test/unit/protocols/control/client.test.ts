// The client against servers that say nothing; what it makes of real answers is tested with the server.
import assert from 'node:assert/strict'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ControlClient } from '../../../../protocols/control/index.ts'
import { encodeServerSentEvent } from '../../../../protocols/control/server-sent-events.ts'

describe('ControlClient', () => {
  let server: Server
  let answer: (response: ServerResponse) => void
  let client: ControlClient
  beforeEach(async () => {
    server = createServer((_, response) => answer(response))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    client = new ControlClient({ api: `http://127.0.0.1:${port}`, token: 'secret' }, { heartbeatMs: 100 })
  })
  afterEach(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })

  it('gives up a stream of which it hears nothing any more, whether it had begun or not', async () => {
    const heard: string[] = []
    const follow = async () => {
      for await (const line of client.followLogs()) heard.push(line)
    }
    answer = () => {}
    await assert.rejects(follow(), { code: 'request_timeout' })
    answer = response => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(encodeServerSentEvent({ data: 'the line' }))
    }
    await assert.rejects(follow(), { code: 'request_timeout' })
    assert.deepEqual(heard, ['the line'])
  })
})
