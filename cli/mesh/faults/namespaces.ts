// A network for a mesh: each node in a network namespace with an address of its own, all on one bridge. They can be parted and slowed.
// Only inside an enclosure, whose end takes all of it away.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NodePlace } from '../mesh-node.ts'
import { runTool } from './tools.ts'

/** The runner's own address, the last of the network 10.83.0.0/16; no machine's own network is reached from inside. */
const RUNNER = '10.83.255.254'
/** Where nodes listen for peers. */
const PEER_PORT = 4101
/** Where the API of node N listens: this and N, since the runner tells them apart by it. */
const API_PORTS = 20_000
/** Milliseconds that a packet may wait at a slowed link before it is dropped: a home router's buffer. */
const QUEUE_MS = 400
/** Bytes that may pass a slowed link at once: a few packets. */
const BURST_BYTES = 16_384

export class Namespaces {
  readonly #folder: string
  readonly #made = new Set<number>()
  readonly #slowed = new Set<number>()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Lays the bridge. @param folder in which the namespaces' names lie. @throws CliError `network_unavailable`. */
  static async open(folder: string): Promise<Namespaces> {
    await runTool(
      ['ip', '-batch', '-'],
      lines(
        'link set lo up',
        'link add name bridge0 type bridge',
        `addr add ${RUNNER}/16 dev bridge0`,
        // Addresses are given by hand, and a bridge that first looks for loops forwards nothing for seconds.
        'link set bridge0 type bridge forward_delay 0',
        'link set bridge0 up'
      )
    )
    // The nodes' APIs listen on their own 127.0.0.1 and answer to no other name: here each is reached at the runner's, told apart by the port.
    await sysctl([], 'net/ipv4/conf/all/route_localnet', '1')
    await runTool(
      ['nft', '-f', '-'],
      lines(
        'table ip apis {',
        'map nodes { type inet_service : ipv4_addr; }',
        'chain out {',
        'type nat hook output priority -100',
        'ip daddr 127.0.0.1 dnat to tcp dport map @nodes',
        '}',
        'chain from {',
        'type nat hook postrouting priority 100',
        // Only what comes from here: where the kernel shows bridged packets to these rules, those between nodes keep their sender.
        'ip saddr 127.0.0.1 oifname bridge0 masquerade',
        '}',
        '}'
      )
    )
    return new Namespaces(folder)
  }

  /** Where node `index` lives, made at its first start. */
  async place(index: number): Promise<NodePlace> {
    if (!this.#made.has(index)) await this.#make(index)
    this.#made.add(index)
    return {
      listen: `/ip4/${addressOf(index)}/tcp/${PEER_PORT}`,
      apiPort: API_PORTS + index,
      command: [...this.#inside(index)]
    }
  }

  /** Packets between groups are dropped where they arrive, without a word to the sender, as on a cut line. */
  async partition(groups: number[][], oneWay: boolean): Promise<void> {
    await this.heal()
    const deaf = oneWay ? groups.slice(0, 1) : groups
    for (const group of deaf) {
      const others = groups.filter(other => other !== group).flat()
      const from = others.map(addressOf).join(', ')
      const rules = lines('table inet parted {', 'chain in {', 'type filter hook input priority 0', `ip saddr { ${from} } drop`, '}', '}')
      for (const index of group) await runTool([...this.#inside(index), 'nft', '-f', '-'], rules)
    }
  }

  async heal(): Promise<void> {
    for (const index of this.#made)
      await runTool([...this.#inside(index), 'nft', '-f', '-'], lines('table inet parted', 'delete table inet parted'))
  }

  /** @param bitsPerSecond for what it sends, and as much for what it receives; null: no limit. */
  async slow(index: number, bitsPerSecond: number | null): Promise<void> {
    for (const device of [[...this.#inside(index), 'tc'], ['tc']] as [string, ...string[]][]) {
      const name = device.length > 1 ? 'eth0' : `node${index}`
      if (this.#slowed.has(index)) await runTool([...device, 'qdisc', 'del', 'dev', name, 'root'])
      if (bitsPerSecond === null) continue
      const limit = [`rate`, `${bitsPerSecond}bit`, 'burst', `${BURST_BYTES}`, 'latency', `${QUEUE_MS}ms`]
      await runTool([...device, 'qdisc', 'add', 'dev', name, 'root', 'tbf', ...limit])
    }
    if (bitsPerSecond === null) this.#slowed.delete(index)
    else this.#slowed.add(index)
  }

  /** So that their names can be removed. */
  async close(): Promise<void> {
    for (const index of this.#made) await runTool(['umount', '--lazy', this.#name(index)])
    this.#made.clear()
  }

  async #make(index: number): Promise<void> {
    const name = this.#name(index)
    await writeFile(name, '')
    await runTool(['unshare', `--net=${name}`, 'true'])
    const address = addressOf(index)
    await runTool(
      ['ip', '-batch', '-'],
      lines(`link add name node${index} type veth peer name eth0 netns ${name}`, `link set node${index} master bridge0 up`)
    )
    const inside = this.#inside(index)
    await runTool([...inside, 'ip', '-batch', '-'], lines('link set lo up', `addr add ${address}/16 dev eth0`, 'link set eth0 up'))
    await sysctl(inside, 'net/ipv4/conf/eth0/route_localnet', '1')
    await runTool(
      [...inside, 'nft', '-f', '-'],
      lines(
        'table ip api {',
        'chain in {',
        'type nat hook prerouting priority -100',
        `ip saddr ${RUNNER} tcp dport ${API_PORTS + index} dnat to 127.0.0.1`,
        '}',
        '}'
      )
    )
    await runTool(['nft', '-f', '-'], lines(`add element ip apis nodes { ${API_PORTS + index} : ${address} }`))
  }

  #name(index: number): string {
    return join(this.#folder, `network-${index}`)
  }

  /** What runs the command line after it in the namespace of a node. */
  #inside(index: number): [string, ...string[]] {
    return ['nsenter', `--net=${this.#name(index)}`]
  }
}

function addressOf(index: number): string {
  return `10.83.${index >> 8}.${index & 255}`
}

function lines(...texts: string[]): string {
  return `${texts.join('\n')}\n`
}

/** /proc/sys shows the network of whoever opens it. */
async function sysctl(inside: string[], name: string, value: string): Promise<void> {
  const [command, ...args] = [...inside, 'sh', '-c', `echo ${value} > /proc/sys/${name}`]
  await runTool([command!, ...args])
}
