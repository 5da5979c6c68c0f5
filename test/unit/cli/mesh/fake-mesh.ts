// Stand-ins for daemons: they answer as the control client would and do what the test says.
import type { MeshControl, MeshNode, NodeStarter, ProcessEnd, ProcessSignal, StartOptions } from '../../../../cli/mesh/mesh-node.ts'
import type { MeshFaults } from '../../../../cli/mesh/runner.ts'
import type { NodeEvent, RoundRow, RunStatus } from '../../../../protocols/control/index.ts'

const RUN = 'brun'

export class FakeNode implements MeshNode {
  readonly index: number
  readonly peer: string
  readonly addresses: string[]
  readonly options: StartOptions
  readonly ended: Promise<ProcessEnd>
  readonly signals: ProcessSignal[] = []
  readonly calls: string[] = []
  readonly control: MeshControl
  round = 0
  waitingFor: string | null = null
  received = 0
  members: string[] = []
  rows: RoundRow[] = []
  #events: NodeEvent[] = []
  #wake = new Set<() => void>()
  #end!: (end: ProcessEnd) => void

  constructor(index: number, options: StartOptions) {
    this.index = index
    this.peer = `peer${index}`
    this.addresses = [`/ip4/127.0.0.1/tcp/${4000 + index}/p2p/peer${index}`]
    this.options = options
    this.ended = new Promise(resolve => {
      this.#end = resolve
    })
    this.control = this.#newControl()
  }

  signal(name: ProcessSignal): void {
    this.signals.push(name)
    if (name === 'SIGKILL') this.exit(null, name)
  }

  exit(code: number | null, signal: string | null = null): void {
    this.#end({ code, signal, lastWords: 'last words' })
  }

  emit(event: Omit<NodeEvent, 'id' | 'ts' | 'message'>): void {
    this.#events.push({ id: this.#events.length + 1, ts: '2026-01-01T00:00:00Z', message: '', ...event })
    for (const wake of this.#wake) wake()
  }

  adopt(round: number): void {
    this.round = round
    const contributors = [{ peer: this.peer, tokens: 1, loss: 2, age: 0 }]
    const row = { round, record: `brecord${round}`, anchor: `banchor${round}`, closer: 'peer1', contributors }
    this.rows.unshift({ ...row, seconds: 1, bytes: 5, adoptedAt: null, loss: 2 })
    this.received += 10
    this.emit({ type: 'round', run: RUN, round })
  }

  #status(): RunStatus {
    const { round, waitingFor } = this
    return {
      run: RUN,
      name: 'demo',
      state: 'training',
      waitingFor,
      reason: null,
      round,
      head: `brecord${round}`,
      anchor: `banchor${round}`,
      step: round,
      loss: 2,
      tokens: round * 100,
      tokensPerSecond: null,
      engine: 'js',
      engineReason: null,
      members: this.members,
      split: null,
      pending: 0,
      share: null,
      lastAccepted: null,
      lastContribution: null,
      trainer: { pid: null, restarts: 0, code: null, reason: null, givenUp: [] }
    }
  }

  #newControl(): MeshControl {
    const control = {
      id: async () => ({ schema: 1, peer: this.peer, addresses: this.addresses, network: 'n', home: '', version: '', join: '' }),
      status: async () => ({
        schema: 1,
        node: { peer: this.peer, upSeconds: 1, version: '', network: 'n', state: 'ready' },
        runs: [this.#status()],
        peers: [],
        traffic: { sent: this.received, received: this.received },
        health: []
      }),
      run: async () => ({ manifest: { strategy: { deadlineMs: 8000, graceMs: 1000, fetchTimeoutMs: 4000 } } }),
      createRun: async () => this.#called('create', { schema: 1, run: RUN }),
      joinRun: async (_run: string, { data, engine }: { data?: string[]; engine?: string }) =>
        this.#called(`join ${data?.join()}${engine === undefined ? '' : ` on ${engine}`}`, {}),
      pauseRun: async () => this.#called('pause', {}),
      leaveRun: async () => this.#called('leave', {}),
      rounds: async () => ({ schema: 1, run: RUN, rounds: this.rows }),
      events: ({ since = 0 }: { since?: number }, { signal }: { signal: AbortSignal }) => this.#follow(since, signal),
      exportCheckpoint: async (request: { directory: string }) => this.#called('export', request),
      shutdown: async () => {
        this.exit(0)
        return this.#called('shutdown', {})
      }
    }
    return control as unknown as MeshControl // the parts of the answers that the runner does not read are left out
  }

  #called<Answer>(name: string, answer: Answer): Answer {
    this.calls.push(name)
    return answer
  }

  async *#follow(since: number, signal: AbortSignal): AsyncGenerator<NodeEvent> {
    let next = since
    while (!signal.aborted) {
      const event = this.#events[next]
      if (event !== undefined) {
        next++
        yield event
        continue
      }
      await new Promise<void>(resolve => {
        const wake = (): void => {
          this.#wake.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#wake.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    }
  }
}

/** Starts {@link FakeNode}s and remembers every life, and what was done to networks and disks. */
export class FakeStarter implements NodeStarter, MeshFaults {
  readonly started: FakeNode[] = []
  readonly done: string[] = []

  async partition(groups: number[][], oneWay: boolean): Promise<void> {
    this.done.push(`partition ${JSON.stringify(groups)}${oneWay ? ' one way' : ''}`)
  }

  async heal(): Promise<void> {
    this.done.push('heal')
  }

  async slow(index: number, bitsPerSecond: number | null): Promise<void> {
    this.done.push(`slow ${index} ${bitsPerSecond}`)
  }

  async fillDisk(index: number): Promise<void> {
    this.done.push(`fill ${index}`)
  }

  async freeDisk(index: number): Promise<void> {
    this.done.push(`free ${index}`)
  }

  async corruptBlock(index: number, cid: string | null): Promise<string> {
    this.done.push(`corrupt ${index} ${cid}`)
    return cid ?? 'bnewest'
  }

  async start(index: number, options: StartOptions): Promise<MeshNode> {
    const node = new FakeNode(index, options)
    this.started.push(node)
    return node
  }

  lives(index: number): FakeNode[] {
    return this.started.filter(node => node.index === index)
  }

  /** The present life. */
  node(index: number): FakeNode {
    return this.lives(index).at(-1)!
  }
}
