import assert from 'node:assert/strict'
import { mock } from 'node:test'
import type { Logger, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { endUnread, UNSENT_BYTES_MAX, UNSENT_MS_MAX, UNSENT_PIECE_BYTES } from '../../../daemon/node-wire.ts'

const log: Logger = Object.assign(() => {}, { error() {}, trace() {}, enabled: false, newScope: () => log }) as unknown as Logger

/** A connection through which ten bytes pass each time that there is room; what it is made of holds nothing. */
class SlowConnection extends AbstractMultiaddrConnection {
  stream = { writeBuffer: { byteLength: 0, bufs: [] } }
  constructor() {
    super({ remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1'), direction: 'inbound', log } as never)
  }
  sendData(data: { byteLength: number }) {
    return { sentBytes: Math.min(10, data.byteLength), canSendMore: false }
  }
  async sendClose() {}
  sendReset() {}
  sendPause() {}
  sendResume() {}

  /** The socket has room again. */
  async drain(): Promise<void> {
    this.dispatchEvent(new Event('drain'))
    await new Promise(resolve => setImmediate(resolve))
  }
}

describe('endUnread()', () => {
  let connection: SlowConnection
  let ended: string | undefined
  const tracked = () => {
    const connection = new SlowConnection()
    ended = undefined
    connection.addEventListener('close', ({ error }) => {
      ended = (error as Error & { code?: string }).code
    })
    const factory = { createStreamMuxer: () => ({}) as StreamMuxer } as unknown as StreamMuxerFactory
    endUnread(() => factory)().createStreamMuxer(connection)
    return connection
  }
  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] })
    connection = tracked()
  })
  afterEach(() => mock.timers.reset())

  it('ends a connection of whose unsent bytes none leave for a minute, however much is sent and comes', () => {
    connection.send(new Uint8Array(100))
    for (let ms = 0; ms < UNSENT_MS_MAX - 1_000; ms += 1_000) {
      mock.timers.tick(1_000)
      connection.onData(new Uint8Array(12))
      connection.send(new Uint8Array(12))
    }
    assert.equal(ended, undefined)
    mock.timers.tick(1_000)
    assert.equal(ended, 'peer_stalled')
  })

  it('leaves a connection alone of which a little leaves now and then, and one that has sent all', async () => {
    connection.send(new Uint8Array(45))
    for (let n = 0; n < 5; n++) {
      mock.timers.tick(UNSENT_MS_MAX - 1)
      await connection.drain()
    }
    mock.timers.tick(10 * UNSENT_MS_MAX)
    assert.equal(connection.status, 'open')
  })

  it('ends a connection for which more waits than may, in many small pieces or in large ones', () => {
    for (const piece of [new Uint8Array(1), new Uint8Array(1024 * 1024)]) {
      connection = tracked()
      const most = UNSENT_BYTES_MAX / (piece.length + UNSENT_PIECE_BYTES)
      for (let n = 0; n < most - 1; n++) connection.send(piece)
      assert.equal(ended, undefined)
      for (let n = 0; n < 12 && ended === undefined; n++) connection.send(piece)
      assert.equal(ended, 'peer_stalled')
    }
  })
})
