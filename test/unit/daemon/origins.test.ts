import assert from 'node:assert/strict'
import { originOf } from '../../../daemon/origins.ts'

describe('originOf()', () => {
  it('takes the ports of a machine and the addresses of an IPv6 network for one origin', () => {
    const cases: [string, string | null][] = [
      ['', null],
      ['/ip4/192.168.1.7/tcp/4101/p2p/X', '192.168.1.7'],
      ['/dns4/example.org/tcp/1', 'example.org'],
      ['/ip6/2001:db8:0:1::7/tcp/4101', '2001:db8:0:1::/64'],
      ['/ip6/2001:DB8::1:ffff:2:3:4/tcp/4102', '2001:db8:0:1::/64'],
      ['/ip6/2001:db8:0:1:ffff:2:3:4/tcp/4102', '2001:db8:0:1::/64'],
      ['/ip6/2001:db8:0:2::7/tcp/4101', '2001:db8:0:2::/64'],
      ['/ip6/::ffff:192.168.1.7/tcp/1', '192.168.1.7'],
      ['/ip6/::ffff:c0a8:107/tcp/1', '192.168.1.7'],
      ['/ip6/::1/tcp/1', '0:0:0:0::/64'],
      ['/ip6zone/eth0/ip6/fe80::1/tcp/1', 'fe80:0:0:0::/64']
    ]
    for (const [address, origin] of cases) assert.equal(originOf(address), origin, address)
  })
})
