// A home with a daemon in it that answers what the test says: what commands do with answers is tested without a real daemon.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface FakeDaemon {
  home: string
  api: string
  /** `METHOD path?query` of every request so far. */
  requests: string[]
  close(): Promise<void>
}

const TOKEN = 'secret'

/** @param answers by `METHOD path`: a document, a number for a status with an error document, or a function that streams. */
export async function startFakeDaemon(answers: Record<string, unknown>): Promise<FakeDaemon> {
  const home = mkdtempSync(join(tmpdir(), 'shoal-fake-'))
  const requests: string[] = []
  const server: Server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return refuse(response, 401, 'not_authorised')
    const answer = answers[`${request.method} ${request.url!.split('?')[0]}`]
    if (answer === undefined) return refuse(response, 404, 'unknown_run')
    if (typeof answer === 'function') return (answer as (response: ServerResponse) => void)(response)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(answer))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  writeFileSync(join(home, 'daemon.json'), JSON.stringify({ schema: 1, pid: process.pid, api, peer: 'peer1', startedAt: '', version: '0' }))
  writeFileSync(join(home, 'api-token'), `${TOKEN}\n`, { mode: 0o600 })
  return {
    home,
    api,
    requests,
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
      rmSync(home, { recursive: true, force: true })
    }
  }
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.statusCode = status
  response.end(JSON.stringify({ schema: 1, error: { code, message: `the message of ${code}`, hint: 'the way out' } }))
}
