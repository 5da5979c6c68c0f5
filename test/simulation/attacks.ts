// One small world for each thing that a hostile peer can do, with what the others still get done. Two of eight lie, or one node speaks for as many identities as it likes.
// The rules promise this as long as fewer than half of the members lie together.
import type { SignedGrant } from '../../protocols/admission/messages.ts'
import type { RoundRecord, RunRules } from '../../protocols/rounds/index.ts'
import { type Conduct, together } from './conduct.ts'
import type { Invariant } from './invariants.ts'
import { equivocating } from './liars/equivocating.ts'
import { givingNothingFrom } from './liars/giving-nothing.ts'
import { claimingSteps, claimingTokens, givingRubbishFrom } from './liars/giving-rubbish.ts'
import { Mouth, onEachRecord, type Place } from './liars/mouth.ts'
import { namingNewHeads, namingOneHead } from './liars/naming-nothing.ts'
import { notClosing } from './liars/not-closing.ts'
import { pretending } from './liars/pretending.ts'
import { servingWrongBytes } from './liars/serving-wrong-bytes.ts'
import { withholding } from './liars/withholding.ts'
import { flawedBody, peerName, rankOf } from './names.ts'
import type { SimNode } from './node.ts'
import { MAX_STEPS, TOKENS_A_STEP } from './training.ts'
import { World, type WorldOptions } from './world.ts'

export interface Attack {
  name: string
  begin(seed: number): World
  /** Indexes of those whose own fate does not matter. */
  liars: readonly number[]
  /** Virtual ms. */
  lastsMs?: number
  /** Rounds that the honest close in that time at least. In calm it is one in 5 s, which with the usual time makes 24. */
  rounds: number
  /** Part of its finished rounds in which an honest node's work is: 1 unless it costs something to be attacked. */
  share?: number
  /** Seeds that once failed, beside those that are lived through always. */
  kept?: readonly number[]
  /** How often an honest node goes back to another branch. A race between two closers is nobody's fault. */
  forks?: number
}

const LASTS_MS = 120_000
/** How often two closers are equally fast, at most. */
const RACES = 2
const HONEST = [0, 1, 2, 3, 4, 5]
const LIARS = [6, 7]

/** Eight that train, of which the last two lie. */
function eight(seed: number, conducts: [Conduct, Conduct], options: Partial<WorldOptions> = {}): World {
  return new World({ seed, nodes: 8, stepMs: () => 100, conducts: new Map(LIARS.map((index, at) => [index, conducts[at]!])), ...options })
}

/** Six that train, and one that looks on and speaks for others. */
function spokenTo(seed: number, speak: (mouth: Mouth, world: World) => void, options: Partial<WorldOptions> = {}): World {
  const speaker = (options.nodes ?? HONEST.length + 1) - 1
  const world = new World({
    seed,
    nodes: speaker + 1,
    stepMs: () => 100,
    observers: [speaker],
    conducts: new Map([[speaker, { forges: true }]]),
    ...options
  })
  speak(new Mouth(world.nodes[speaker]!), world)
  return world
}
const SPEAKER = [HONEST.length]

/** A member, the last but one, that trains and lies in what it shows by itself: `speak` is called on each record, with what it may sign as itself. */
function memberSpeaks(seed: number, speak: (mouth: Mouth, self: string) => void, options: Partial<WorldOptions> = {}): World {
  const liar = (options.nodes ?? 8) - 2
  const world = new World({ seed, nodes: 8, stepMs: () => 100, conducts: new Map([[liar, { forges: true }]]), ...options })
  const node = world.nodes[liar]!
  const mouth = new Mouth(node)
  onEachRecord(node, () => speak(mouth, node.peer))
  return world
}

const every = (mouth: Mouth, ms: number, act: (turn: number) => void): void => {
  const next = (turn: number): void =>
    mouth.node.later(ms, () => {
      act(turn)
      next(turn + 1)
    })
  next(0)
}

/** Once the work of so many members for the open round is here. */
function onceGiven(mouth: Mouth, enough: number, act: (at: Place, given: string[]) => void): void {
  const at = mouth.open
  const look = (tries: number): void =>
    mouth.node.later(100, () => {
      const given = mouth.given(at, peer => !mouth.node.world.byPeer.has(peer))
      if (mouth.open.parent !== at.parent || tries === 0) return
      if (given.length >= enough) act(at, given)
      else look(tries - 1)
    })
  look(200)
}

/** The member closes as soon as all honest work is here, or that of `enough`, before the first in rank can, with something wrong in it. */
function forging(
  forge: (mouth: Mouth, at: Place, given: string[], self: string) => void,
  options: Partial<WorldOptions> = {},
  enough = options.nodes ?? 8
): (seed: number) => World {
  return seed => memberSpeaks(seed, (mouth, self) => onceGiven(mouth, enough, (at, given) => forge(mouth, at, given, self)), options)
}

/** Member 6 shows a record on what everybody has just left again and again, each time with a little more; member 7 may help. */
function showingAgain(seed: number, accomplice: Conduct & { shown?: string }, invariants: Invariant[] = []): World {
  const world = eight(seed, [{ forges: true }, accomplice], { ...rules({ maxTokensPerRound: 10_000 }), invariants })
  const mouth = new Mouth(world.nodes[6]!)
  onEachRecord(mouth.node, () => {
    const { record } = mouth.node.disk.records.get(mouth.node.head)!
    const at = { parent: record.parent, round: record.round }
    const others = record.contributions.filter(cid => mouth.node.disk.contributions.get(cid)?.peer !== mouth.node.peer)
    for (let turn = 1; turn <= 20; turn++) {
      // Until it is too late for a race between closers, and on.
      mouth.node.later(3_000 + turn * 500, () => {
        accomplice.shown = mouth.close(mouth.node.peer, at, [...others, mouth.contribute(mouth.node.peer, at, { tokens: 3_200 + turn })])
        mouth.isHere(mouth.node.peer, { head: accomplice.shown, round: at.round, trains: true })
      })
    }
  })
  return world
}

/** Member 6 closes just before the deadline, which one that is slow makes them wait for, with all but the work of member 0, and with `more`. */
function hidingAtDeadline(seed: number, more: (mouth: Mouth, at: Place) => string[]): World {
  const world = eight(seed, [{ forges: true }, givingNothingFrom(2)], { stepMs: index => (index === 5 ? 280 : 100) })
  const mouth = new Mouth(world.nodes[6]!)
  onEachRecord(mouth.node, () => {
    const at = mouth.open
    const late = more(mouth, at)
    mouth.node.later(world.rules.deadlineMs - 1_000, () => {
      if (mouth.open.parent !== at.parent) return
      const others = mouth.given(at, peer => peer === peerName(0))
      mouth.close(mouth.node.peer, at, [...others, ...late])
    })
  })
  return world
}

/** Whatever it says of itself. */
const twoOfACloser = (closer: string): Invariant => ({
  name: 'a closer has two records of a round',
  told({ index, rounds }, events, holds) {
    for (const event of events) {
      if (event.type !== 'record' || event.record.closer !== closer) continue
      const siblings = rounds.tree.byCid.get(event.record.parent)?.children ?? []
      const count = siblings.filter(sibling => sibling.closer === closer && !sibling.ready).length
      holds(count <= 2, () => `${index} looks at ${count} records of ${closer} for round ${event.record.round}`)
    }
  }
})

/** What a member gives after the round is in no rival: nobody held it in time. */
const noRivalWith = (peer: string): Invariant => ({
  name: 'late work makes no rival',
  closing({ disk, head, index }, { parent, round, contributions }, holds) {
    if (parent === head) return
    const late = contributions.filter(({ cid, age }) => age === 0 && disk.contributions.get(cid)?.peer === peer)
    holds(late.length === 0, () => `${index} proposes a rival for round ${round} with what came after it`)
  }
})

/** Whoever has an inviter's word takes part, as it gives in each round. */
const isGuest = (peer: string): Invariant => ({
  name: 'a guest takes part',
  ended(node, holds) {
    const { contributions } = node.disk
    const without = node.chain().filter(({ record }) => !record.contributions.some(cid => contributions.get(cid)?.peer === peer))
    // It was not there for the first, nor when all was over.
    holds(without.length <= 3, () => `${node.index}: ${peer} is not in rounds ${without.map(({ record }) => record.round).join(' ')}`)
  }
})

/** Who closed with something invalid and then with something right has signed two; each such pair takes some back. */
const FORKS = 6

const forged = (as: (mouth: Mouth, at: Place, given: string[]) => Partial<RoundRecord>): ((seed: number) => World) =>
  forging((mouth, at, given, self) => mouth.close(self, at, given, as(mouth, at, given)))

const rules = (some: Partial<RunRules>): Partial<WorldOptions> => ({ rules: some })

/** When a member begins to flood; it is long over at the end, and what it left must not matter. */
const FLOOD_AT_MS = 12_000
const FLOOD_LASTS_MS = 40_000

/** Rounds that a grant may reach. */
const GRANT_ROUNDS = 3

/** Names that one machine tries for a round, and how many of them it takes. */
const NAMES_TRIED = 2_000
const NAMES_TAKEN = 4

/** Run and round are known beforehand, and names cost nothing: those whose rank comes first, as safety.ts works it out. */
function bestRanked(mouth: Mouth, { parent, round }: Place): string[] {
  const { run } = mouth.node.world.rules
  return Array.from({ length: NAMES_TRIED }, (_, turn) => mouth.mint([parent, turn]))
    .map(peer => ({ peer, rank: rankOf(run, round, peer) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, NAMES_TAKEN)
    .map(({ peer }) => peer)
}

const times = (count: number, act: (turn: number) => void): void => {
  for (let turn = 0; turn < count; turn++) act(turn)
}

export const ATTACKS: readonly Attack[] = [
  // ---- members
  { name: 'members name heads that do not exist', begin: seed => eight(seed, [namingOneHead, namingNewHeads]), liars: LIARS, rounds: 12 },
  {
    name: 'a member gives nothing any more',
    begin: seed => eight(seed, [givingNothingFrom(6), {}]),
    liars: LIARS,
    rounds: 20,
    // Some followed others' records before their own deadline, never saw who was silent, and waited in each round.
    kept: [7]
  },
  {
    name: 'a member gives what is refused',
    begin: seed => eight(seed, [givingRubbishFrom(6), givingRubbishFrom(1)]),
    liars: LIARS,
    rounds: 22
  },
  { name: 'members claim any number of tokens', begin: seed => eight(seed, [claimingTokens, claimingTokens]), liars: LIARS, rounds: 22 },
  {
    name: 'members claim tokens that their steps do not have',
    begin: seed => eight(seed, [claimingTokens, claimingTokens], rules({ tokensPerStep: TOKENS_A_STEP })),
    liars: LIARS,
    rounds: 20
  },
  {
    name: 'members claim more steps than a round has',
    begin: seed => eight(seed, [claimingSteps, claimingSteps], rules({ tokensPerStep: TOKENS_A_STEP, maxSteps: MAX_STEPS })),
    liars: LIARS,
    rounds: 20
  },
  { name: 'members serve wrong bytes and nothing', begin: seed => eight(seed, [servingWrongBytes, withholding]), liars: LIARS, rounds: 20 },
  { name: 'members pretend to hold what they do not', begin: seed => eight(seed, [pretending, pretending]), liars: LIARS, rounds: 19 },
  {
    name: 'members sign two of everything',
    begin: seed => eight(seed, [equivocating, equivocating]),
    liars: LIARS,
    rounds: 15,
    forks: 20,
    share: 0.5
  },
  { name: 'members never close', begin: seed => eight(seed, [notClosing, notClosing]), liars: LIARS, rounds: 20 },
  // ---- records that are not what they should be, from a member, before any other
  { name: 'a record with another anchor', begin: forged(() => ({ anchor: 'aforged' })), liars: [6], rounds: 20, forks: FORKS },
  { name: 'a record of another run', begin: forged(() => ({ run: 'other' })), liars: [6], rounds: 22 },
  { name: 'a record of a later round', begin: forged((_, at) => ({ round: at.round + 1 })), liars: [6], rounds: 20, forks: FORKS },
  {
    name: 'a record in another order',
    begin: forged((mouth, _, given) => ({ contributions: sorted(mouth, given).reverse() })),
    liars: [6],
    rounds: 20,
    forks: FORKS
  },
  {
    name: 'a record below the quorum',
    begin: seed => {
      const world = forging((mouth, at, given, self) => mouth.close(self, at, given), { nodes: 4, ...rules({ quorum: 4 }) }, 3)(seed)
      // Meanwhile all who train have given, and are not enough.
      world.time.at(20_000, () => world.nodes[0]!.kill())
      world.time.at(70_000, () => world.nodes[0]!.start())
      return world
    },
    liars: [2],
    rounds: 7,
    forks: FORKS
  },
  {
    name: 'a record that lists one author twice',
    begin: forging((mouth, at, given, self) => mouth.close(self, at, [...given, mouth.contribute(self, at, { loss: 3 })])),
    liars: [6],
    rounds: 20,
    forks: FORKS
  },
  {
    name: 'a record that lists old work',
    // The member's own of long ago, in place of any new: so nobody is left out, and it weighs more than what the others close.
    begin: seed => {
      const world = memberSpeaks(
        seed,
        (mouth, self) =>
          onceGiven(mouth, 7, (at, given) => {
            const { disk } = mouth.node
            const old = [...disk.contributions].find(([, { peer, round }]) => peer === self && round === 2)
            const others = given.filter(cid => disk.contributions.get(cid)!.peer !== self)
            if (old !== undefined && others.length >= 7) mouth.close(self, at, [...others, old[0]])
          }),
        { keepRounds: 100 }
      )
      world.nodes[6]!.conduct = together({ forges: true }, givingNothingFrom(4))
      return world
    },
    liars: [6],
    rounds: 15,
    forks: FORKS
  },
  {
    name: 'a record that lists work which the one before it has',
    begin: forging((mouth, at, given, self) => {
      const before = [...mouth.node.disk.contributions].filter(([, { round }]) => round === at.round - 1).map(([cid]) => cid)
      mouth.close(self, at, [...given, ...before])
    }),
    liars: [6],
    rounds: 20,
    forks: FORKS
  },
  {
    name: 'a record that lists what was refused',
    // It is the last to give, and shows its record with its work: before any other can have closed.
    begin: seed => {
      const world = memberSpeaks(seed, (mouth, self) => {
        const { disk } = mouth.node
        const accomplice = mouth.contribute(mouth.mint(mouth.open), mouth.open, { body: flawedBody('b', 'non_finite') })
        onceGiven(mouth, 8, (at, given) => {
          const others = given.filter(cid => disk.contributions.get(cid)!.peer !== self)
          mouth.close(self, at, [...others, mouth.contribute(self, at, { tokens: 3_200 }), accomplice])
        })
      })
      world.nodes[6]!.conduct = { forges: true, showsContribution: () => () => null, holds: (_node, _honest) => [], closes: () => false }
      return world
    },
    liars: [6],
    rounds: 20,
    forks: FORKS
  },
  {
    name: 'a record that lists what cannot be had',
    begin: forging((mouth, at, given, self) => {
      const accomplice = mouth.contribute(mouth.mint(at), at, {}, { whole: false })
      mouth.close(self, at, [...given, accomplice])
    }),
    liars: [6],
    rounds: 18
  },
  {
    name: 'who goes first lists what cannot be had',
    begin: seed => {
      const world = forging(
        (mouth, at, given, self) => mouth.close(self, at, [...given, mouth.contribute(mouth.mint(at), at, {}, { whole: false })]),
        // It is soon seen that they cannot be had; another turn would be long.
        { nodes: 4, ...rules({ fetchTimeoutMs: 1_000, graceMs: 15_000 }) }
      )(seed)
      world.nodes[2]!.conduct = together({ forges: true }, notClosing)
      return world
    },
    liars: [2],
    lastsMs: 400_000,
    rounds: 65
  },
  // ---- a member and time
  {
    name: 'members show a record again and again, each time with more',
    begin: seed => {
      const accomplice: { shown: string } & Conduct = {
        shown: 'run',
        forges: true,
        tells: (_node, _to, honest) => ({ ...honest, head: accomplice.shown })
      }
      return showingAgain(seed, accomplice)
    },
    liars: LIARS,
    rounds: 21,
    forks: FORKS
  },
  {
    name: 'a member shows a record again and again, and says that each is its head',
    begin: seed => showingAgain(seed, {}, [twoOfACloser(peerName(6))]),
    liars: [6],
    rounds: 21,
    forks: FORKS
  },
  {
    name: 'a member hides the work of one at the deadline',
    begin: seed => hidingAtDeadline(seed, () => []),
    liars: LIARS,
    rounds: 6,
    forks: 10,
    // What was decided on the record before was shown as if it were the rival.
    kept: [3]
  },
  {
    name: 'a member hides the work of one, and lists what came late for the round before',
    begin: seed =>
      hidingAtDeadline(seed, (mouth, { parent, round }) => {
        const before = mouth.node.disk.records.get(parent)?.record
        return before === undefined ? [] : [mouth.contribute(mouth.mint(parent), { parent: before.parent, round: round - 1 })]
      }),
    liars: LIARS,
    rounds: 6,
    forks: 10
  },
  // ---- strangers
  {
    name: 'strangers close every round at once',
    begin: seed =>
      spokenTo(
        seed,
        mouth =>
          onEachRecord(mouth.node, () => {
            const at = mouth.open
            const authors = Array.from({ length: 10 }, (_, i) => mouth.mint([at.parent, i]))
            for (const peer of authors) mouth.isHere(peer, { head: at.parent, round: at.round - 1, trains: true })
            mouth.close(
              authors[0]!,
              at,
              authors.map(peer => mouth.contribute(peer, at))
            )
          }),
        rules({ maxTokensPerRound: 3_200 })
      ),
    liars: SPEAKER,
    rounds: 20
  },
  {
    name: 'strangers train with the smaller side of a split',
    begin: seed =>
      spokenTo(
        seed,
        (mouth, { network, time }) => {
          // At another round for each seed: ranks are the same for all.
          const partsAt = 15_000 + (seed % 8) * 5_000
          const healsAt = partsAt + 50_000
          time.at(partsAt, () => network.part(index => Number(index >= 4)))
          time.at(healsAt, () => network.heal())
          onEachRecord(mouth.node, () => {
            // Known before they parted, they would be members.
            if (time.now < partsAt || time.now > healsAt) return
            for (let each = 0; each < 10; each++) {
              const peer = mouth.mint(each)
              mouth.isHere(peer, { head: mouth.open.parent, round: mouth.open.round - 1, trains: true })
              mouth.contribute(peer, mouth.open)
            }
          })
        },
        rules({ maxTokensPerRound: 3_200 })
      ),
    liars: [4, 5, ...SPEAKER],
    lastsMs: 150_000,
    rounds: 20
  },
  {
    name: 'a stranger closes with the work of others',
    begin: seed =>
      spokenTo(seed, mouth => {
        every(mouth, 200, () => {
          const at = mouth.open
          const given = mouth.given(at)
          if (given.length >= 4) mouth.close(mouth.mint('closer'), at, given)
        })
      }),
    liars: SPEAKER,
    rounds: 22
  },
  {
    name: 'strangers with the best of ranks give, and one closes beside the members',
    begin: seed =>
      spokenTo(
        seed,
        mouth => {
          let ready: { at: Place; given: string[]; closer: string } | null = null
          onEachRecord(mouth.node, () => {
            const { record } = mouth.node.disk.records.get(mouth.node.head)!
            // With what the first in rank has just listed, so that neither outweighs the other.
            if (ready?.at.parent === record.parent && record.closer !== ready.closer)
              mouth.close(ready.closer, ready.at, [...new Set([...record.contributions, ...ready.given])])
            const at = mouth.open
            const peers = bestRanked(mouth, at)
            for (const peer of peers) mouth.isHere(peer, { head: at.parent, round: at.round - 1, trains: true })
            ready = { at, given: peers.map(peer => mouth.contribute(peer, at)), closer: peers[0]! }
          })
        },
        rules({ maxTokensPerRound: 3_200 })
      ),
    liars: SPEAKER,
    rounds: 21
  },
  {
    name: 'strangers with the best of ranks in the round after give, and one of them closes each round anew',
    begin: seed =>
      spokenTo(
        seed,
        mouth => {
          const closers = new Map<number, string>()
          onEachRecord(mouth.node, () => {
            const { closer: first, contributions, parent, round } = mouth.node.disk.records.get(mouth.node.head)!.record
            const closer = closers.get(round)
            if (closer !== undefined && closer !== first) mouth.close(closer, { parent, round }, contributions)
            const at = mouth.open
            const [next] = bestRanked(mouth, { parent: at.parent, round: at.round + 1 })
            closers.set(at.round + 1, next!)
            mouth.isHere(next!, { head: at.parent, round: at.round - 1, trains: true })
            mouth.contribute(next!, at)
          })
        },
        rules({ maxTokensPerRound: 3_200 })
      ),
    liars: SPEAKER,
    rounds: 22,
    forks: 1
  },
  {
    name: 'strangers name heads that do not exist',
    begin: seed =>
      spokenTo(seed, mouth => {
        every(mouth, 1_500, turn => mouth.isHere(mouth.mint(turn), { head: `rnowhere${turn}`, round: mouth.open.round, trains: true }))
      }),
    liars: SPEAKER,
    rounds: 18
  },
  {
    name: 'strangers train and give nothing',
    begin: seed =>
      spokenTo(seed, mouth => {
        every(mouth, 1_500, turn => mouth.isHere(mouth.mint(turn), { head: mouth.open.parent, round: mouth.open.round - 1, trains: true }))
      }),
    liars: SPEAKER,
    rounds: 18
  },
  {
    name: 'strangers give where only members may',
    begin: seed =>
      spokenTo(
        seed,
        mouth =>
          onEachRecord(mouth.node, () => {
            const at = mouth.open
            const peer = mouth.mint(at)
            mouth.isHere(peer, { head: at.parent, round: at.round - 1, trains: true })
            mouth.contribute(peer, at)
          }),
        rules({ admission: [...HONEST, ...SPEAKER].map(peerName) })
      ),
    liars: SPEAKER,
    rounds: 22
  },
  {
    name: 'strangers give with a grant of another, a false one, one that is over, and none',
    begin: seed => {
      const guest = 'Xguest'
      return spokenTo(
        seed,
        mouth =>
          onEachRecord(mouth.node, () => {
            const at = mouth.open
            const good = { run: 'run', inviter: peerName(0), untilRound: at.round + GRANT_ROUNDS, bytes: new Uint8Array() }
            const give = (peer: string, grant: Partial<SignedGrant>): string =>
              mouth.contribute(peer, at, { grant: { ...good, peer, ...grant } })
            mouth.isHere(guest, { head: at.parent, round: at.round - 1, trains: true })
            give(guest, {})
            give('Xof another', { peer: guest })
            give('Xof another run', { run: 'other' })
            give('Xof no inviter', { inviter: guest })
            give('Xof too long ago', { untilRound: at.round - 1 })
            give('Xfor too long', { untilRound: good.untilRound + 1 })
            mouth.contribute('Xof nobody', at)
          }),
        {
          ...rules({ admission: { inviters: [peerName(0)], grantRounds: GRANT_ROUNDS } }),
          genesis: HONEST,
          invariants: [isGuest(guest)]
        }
      )
    },
    liars: SPEAKER,
    rounds: 20
  },
  // ---- floods of members; those of strangers are in floods.ts
  {
    name: 'a flood of contributions of one member',
    begin: seed => {
      const world = eight(seed, [{ forges: true }, {}])
      const mouth = new Mouth(world.nodes[6]!)
      mouth.node.later(FLOOD_AT_MS, () => {
        const at = mouth.open
        times(200, turn => mouth.contribute(mouth.node.peer, at, { tokens: 1 + turn }))
      })
      return world
    },
    liars: [6],
    lastsMs: FLOOD_LASTS_MS,
    rounds: 6
  },
  {
    name: 'a flood of records of one member',
    begin: seed => {
      const world = eight(seed, [{ forges: true }, {}], { invariants: [twoOfACloser(peerName(6))] })
      const mouth = new Mouth(world.nodes[6]!)
      mouth.node.later(FLOOD_AT_MS, () => {
        const at = mouth.open
        times(100, turn => mouth.show({ ...at, contributions: [`cnowhere${turn}`], closer: mouth.node.peer }))
      })
      return world
    },
    liars: [6],
    lastsMs: FLOOD_LASTS_MS,
    rounds: 5
  },
  // ---- time itself
  {
    name: 'a member gives after the round',
    begin: seed => {
      const world = eight(seed, [{ forges: true, showsContribution: () => () => null, holds: (_node, _honest) => [] }, {}], {
        computeMs: [1_000, 2_000],
        invariants: [noRivalWith(peerName(6))]
      })
      const { network, nodes } = world
      const mouth = nodes[6]!
      world.onPhase = (node, phase) => {
        if (phase !== 'published') return
        const { parent } = node.disk.records.get(node.head)!.record
        for (const [cid, contribution] of mouth.disk.contributions)
          if (contribution.peer === mouth.peer && contribution.parent === parent)
            network.gossip(mouth, to => to.receiveContribution(cid, contribution))
      }
      return world
    },
    liars: [6],
    rounds: 6,
    // Its own rules propose it a rival each time, which reaches some of them while two closers may be equally fast.
    forks: FORKS
  },
  {
    name: 'machines sleep past deadlines',
    begin: seed => {
      const world = new World({ seed, nodes: 6, stepMs: () => 100 })
      for (const node of world.nodes.slice(0, 4)) {
        world.time.at(15_000 + node.index * 20_000, () => node.sleep())
        world.time.at(50_000 + node.index * 20_000, () => node.resume())
      }
      return world
    },
    liars: [],
    rounds: 8,
    share: 0.4
  },
  {
    name: 'machines sleep while they close',
    begin: seed => {
      const world = new World({ seed, nodes: 6, stepMs: () => 100 })
      world.onPhase = (node, phase, round) => {
        if (phase !== 'closing' || round % 3 !== 0 || world.nodes.some(({ stopped }) => stopped)) return
        // It is computing the anchor by then.
        world.time.after(20, () => node.sleep())
        world.time.after(15_000, () => node.resume())
      }
      return world
    },
    liars: [],
    rounds: 8,
    share: 0.4
  }
]

function sorted(mouth: Mouth, cids: readonly string[]): string[] {
  const peerOf = (cid: string): string => mouth.node.disk.contributions.get(cid)!.peer
  return [...cids].sort((a, b) => (peerOf(a) < peerOf(b) ? -1 : 1))
}

/** Lives through it, and says what the honest did not get. */
export function survive({ begin, liars, lastsMs = LASTS_MS, rounds, share = 1, forks = RACES }: Attack, seed: number): string[] {
  const world = begin(seed)
  world.run(lastsMs)
  const honest = world.nodes.filter(({ index }) => !liars.includes(index) && world.options.observers?.includes(index) !== true)
  const lowest = Math.min(...honest.map(node => node.rounds.head.round))
  if (lowest < rounds) world.problem(`progress under attack: round ${lowest} after ${lastsMs} ms, not ${rounds}`)
  for (const node of honest) {
    const included = shareIncluded(node)
    if (included < share) world.problem(`honest work under attack: ${node.index} is in ${Math.round(included * 100)} % of the rounds`)
    if (node.forks > forks) world.problem(`no going back under attack: ${node.index} went back ${node.forks} times`)
  }
  const { deadlineMs, fetchTimeoutMs, graceMs } = world.rules
  world.onPhase = () => {}
  return world.settle(0, 2 * (deadlineMs + 2 * fetchTimeoutMs + 3 * graceMs))
}

/** The part of the chain's records that have a contribution of this node, made for them. */
function shareIncluded(node: SimNode): number {
  const chain = node.chain()
  const there = chain.filter(({ record }) =>
    record.contributions.some(cid => {
      const contribution = node.disk.contributions.get(cid)
      return contribution?.peer === node.peer && contribution.round === record.round
    })
  )
  return there.length / Math.max(1, chain.length)
}
