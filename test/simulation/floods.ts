// One node's rules, told more of everything than they keep: each flood goes beyond one bound, and a member must be heard after it.
import {
  FORK_WINDOW_ROUNDS,
  MAX_CONTRIBUTIONS_PER_RECORD,
  MAX_LISTED_OFF_CHAIN,
  MAX_OPEN_CONTRIBUTIONS,
  MAX_ORPHAN_RECORDS,
  MAX_PEERS,
  MAX_RECORDS_ASKED,
  MAX_RECORDS_OFF_CHAIN,
  MAX_STRAY_CONTRIBUTIONS,
  MAX_UNKNOWN_CONTRIBUTIONS,
  MAX_WATCHED
} from '../../protocols/rounds/constants.ts'
import {
  advance,
  type Contribution,
  createRounds,
  type RoundEvent,
  type RoundRecord,
  type RoundsState,
  type RunRules
} from '../../protocols/rounds/index.ts'
import { beyondBounds } from './safety.ts'

const RULES: RunRules = {
  run: 'run',
  genesisAnchor: 'genesis',
  genesisPeers: ['A', 'B', 'C'],
  admission: 'open',
  quorum: 2,
  deadlineMs: 20_000,
  graceMs: 3_000,
  fetchTimeoutMs: 5_000,
  maxTokensPerRound: 100
}

const made = (peer: string, parent = 'run', round = 1): Contribution => ({
  run: 'run',
  round,
  parent,
  peer,
  tokens: 1,
  steps: 1,
  loss: 2,
  codec: 'f32',
  norm: 1,
  body: `b${peer}`
})
const given = (cid: string, contribution: Contribution): RoundEvent => ({ type: 'contribution', cid, contribution })
const recorded = (cid: string, facts: Partial<RoundRecord>): RoundEvent => ({
  type: 'record',
  cid,
  record: { run: 'run', round: 1, parent: 'run', contributions: ['cnowhere'], anchor: 'anowhere', closer: 'X', ...facts }
})

function* times(count: number, event: (turn: number) => RoundEvent): Generator<RoundEvent> {
  for (let turn = 0; turn < count; turn++) yield event(turn)
}

/** All of it in a second, so many at once; then a member gives, and another closes. */
function flooded(events: Iterable<RoundEvent>, { listedBefore = 0, atOnce = 1 } = {}): string[] {
  const state: RoundsState = createRounds(RULES, 'A', { now: 0 })
  state.listedOffChain = listedBefore
  const tell = (event: RoundEvent | RoundEvent[]): void => void advance(state, event, 1_000)
  for (const event of [{ type: 'tick' }, { type: 'synced' }] as const) tell(event)
  const rest = [...events]
  while (rest.length > 0) {
    tell(rest.splice(0, atOnce))
    const beyond = beyondBounds(state)
    if (beyond !== null) return [`every queue is within its bound: ${beyond}`]
  }
  for (const peer of ['A', 'B']) tell(given(`c${peer}`, made(peer)))
  tell(recorded('r', { contributions: ['cA', 'cB'], closer: 'C' }))
  const problems: string[] = []
  if (!state.contributions.has('cB')) problems.push("members are heard: a member's contribution is not kept")
  if (state.tree.byCid.get('r')?.status !== 'valid') problems.push("members are heard: a member's record is not kept")
  return problems
}

export const FLOODS: readonly { name: string; run(): string[] }[] = [
  {
    name: 'a flood of contributions of strangers',
    run: () => flooded(times(MAX_OPEN_CONTRIBUTIONS + 10, turn => given(`c${turn}`, made(`X${turn}`))))
  },
  {
    name: 'a flood of contributions to records that nobody has',
    run: () =>
      flooded(times(MAX_OPEN_CONTRIBUTIONS, turn => given(`c${turn}`, made(`X${turn}`, `r${turn % (MAX_STRAY_CONTRIBUTIONS + 10)}`, 3))))
  },
  {
    name: 'a flood of rumours',
    run: () => flooded(times(MAX_UNKNOWN_CONTRIBUTIONS + 10, turn => ({ type: 'holding', peer: 'X', contributions: [`c${turn}`] })))
  },
  {
    name: 'a flood of records without parents',
    run: () => flooded(times(MAX_ORPHAN_RECORDS + 10, turn => recorded(`r${turn}`, { parent: `r nowhere ${turn}`, round: 3 })))
  },
  {
    name: 'a flood of records that list all that they can',
    run: () =>
      // The first quarter of a million takes minutes.
      flooded(
        times(4, turn =>
          recorded(`r${turn}`, {
            closer: `X${turn}`,
            contributions: Array.from({ length: MAX_CONTRIBUTIONS_PER_RECORD }, (_, at) => `c${turn} ${at}`)
          })
        ),
        { listedBefore: MAX_LISTED_OFF_CHAIN - 2 * MAX_CONTRIBUTIONS_PER_RECORD }
      )
  },
  {
    name: 'a flood of records of strangers',
    run: () =>
      flooded(
        times(MAX_RECORDS_OFF_CHAIN + 2 * FORK_WINDOW_ROUNDS, turn => recorded(`r${turn}`, { closer: `X${turn}` })),
        { atOnce: 1_024 }
      )
  },
  {
    name: 'a flood of records that parted too long ago',
    run: () => flooded(times(MAX_ORPHAN_RECORDS + 10, turn => recorded(`r${turn}`, { parent: `r nowhere ${turn}` })))
  },
  {
    name: 'a flood of own work on branches',
    run: () => flooded(times(MAX_WATCHED + 10, turn => given(`c${turn}`, made('A', `r${turn}`, 3))))
  },
  {
    name: 'a flood of heads',
    run: () => flooded(times(MAX_RECORDS_ASKED + 10, turn => ({ type: 'peerLive', peer: 'X', head: `r${turn}`, round: 1, trains: false })))
  },
  {
    name: 'a flood of peers',
    run: () => flooded(times(MAX_PEERS + 10, turn => ({ type: 'peerLive', peer: `X${turn}`, head: 'run', round: 0, trains: false })))
  }
]
