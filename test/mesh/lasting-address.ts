// An address that a daemon of a test can leave and come back to.
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A port that the system handed out (port 0) may be anybody's as soon as it is free: whoever dials the one who left is given it as
 * a source now and then. So this one is from below the ports that systems hand out.
 */
export async function lastingAddress(): Promise<string> {
  for (;;) {
    const port = randomInt(10_000, 30_000)
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false
    )
    if (!isFree) continue
    await new Promise(resolve => server.close(resolve))
    return `/ip4/127.0.0.1/tcp/${port}`
  }
}
