// The defences of the round rules, each with what the rules look like without it: a replacement in a compiled file, applied to a copy.
// A simulation that does not notice a missing defence either lacks a fault or shows that the defence is none.

export interface Edit {
  /** Below dist/protocols/rounds. */
  file: string
  /** Text that occurs exactly once in that file. */
  from: string
  to: string
}

export interface Mutation extends Edit {
  defence: string
  /** What happens to a mesh whose nodes lack it. */
  protects: string
  /** Another defence against the same, taken out with it. */
  and?: Edit
  /** The trial that is likeliest to notice; it comes first. */
  noticedBy: string
}

export const MUTATIONS: readonly Mutation[] = [
  // ---- who closes, when
  {
    defence: 'two holders before a contribution counts',
    protects: 'a record lists what dies with one node',
    file: 'closing.js',
    from: 'Math.max(1, Math.min(HOLDERS_NEEDED, liveMembers))',
    to: '0',
    noticedBy: 'calm'
  },
  {
    defence: 'ranks: one closer after the other',
    protects: 'all close at once, and each record but one is thrown away',
    file: 'proposing.js',
    from: 'state.closableSince + turns * (rules.graceMs + state.computeMs)',
    to: 'state.closableSince',
    noticedBy: 'calm'
  },
  {
    defence: 'a grace between ranks allows for the time an anchor takes',
    protects: 'where anchors take long, the second in rank closes beside the first',
    file: 'proposing.js',
    from: 'state.closableSince + turns * (rules.graceMs + state.computeMs)',
    to: 'state.closableSince + turns * 10',
    noticedBy: 'calm'
  },
  {
    defence: 'no stranger goes first',
    protects: 'whoever searches names for the best ranks has each member wait for as many as it likes',
    file: 'closing.js',
    from: 'return [...byHash(run, round, members), ...byHash(run, round, rest)];',
    to: 'return byHash(run, round, [...members, ...rest]);',
    // Members that train let only each other go first, whatever the order.
    and: { file: 'proposing.js', from: 'trains && membersAfter(parent).has(peer)', to: 'trains' },
    noticedBy: 'strangers with the best of ranks give, and one closes beside the members'
  },
  {
    defence: 'heads are asked for after a gap in timers',
    protects: 'a node that wakes past the deadline closes a round of long ago',
    file: 'intake.js',
    from: 'state.sync = { since: state.now, asked: false };',
    to: '',
    noticedBy: 'machines sleep past deadlines'
  },
  {
    defence: 'nothing decided before a gap is shown after it',
    protects: 'a closer that was stopped while it computed shows a record of long ago',
    file: 'intake.js',
    from: `state.sync = { since: state.now, asked: false };
            // What we were computing was decided before the gap: it is not shown, and closed anew if it is still wanted.
            state.closing = null;`,
    to: 'state.sync = { since: state.now, asked: false };',
    noticedBy: 'machines sleep while they close'
  },
  {
    defence: 'an own record is not shown when the mesh has moved on',
    protects: 'a slow closer makes others go back',
    file: 'rules.js',
    from: '// What we were computing was decided on another head: it is not shown.\n    state.closing = null;',
    to: '',
    noticedBy: 'closers of unlike speed'
  },
  {
    defence: 'a silent trainer is waited for once',
    protects: 'one node that trains and never gives stretches each round to its deadline',
    file: 'proposing.js',
    from: 'state.silent.add(peer);',
    to: '',
    noticedBy: 'a member gives nothing any more'
  },
  {
    defence: 'who follows a record before its own deadline sees who is silent, too',
    protects: 'a node whose clock is slow waits for one that never gives in each round',
    file: 'rules.js',
    from: 'noteSilence(state, head.parts, out);',
    to: ';',
    noticedBy: 'a member gives nothing any more'
  },
  {
    defence: 'strangers are waited for a grace only',
    protects: 'identities that cost nothing stretch each round to its deadline',
    file: 'proposing.js',
    from: '(head.round === 0 || members.has(peer)) && lacks(peer)',
    to: 'lacks(peer)',
    noticedBy: 'strangers train and give nothing'
  },
  {
    defence: 'who gave something that was refused is not waited for',
    protects: 'one member whose work is refused by content stretches each round to its deadline',
    file: 'proposing.js',
    from: 'return state.refusals.size === 0 || !wasRefused(state, parent, peer);',
    to: 'return true;',
    noticedBy: 'a member gives what is refused'
  },
  {
    defence: 'what is looked for holds a round up for one fetch in all',
    protects: 'a member that names ever new heads stops the run',
    file: 'proposing.js',
    from: 'return now < until;',
    to: 'return true;',
    noticedBy: 'members name heads that do not exist'
  },
  {
    defence: 'only the claims of ranked authors hold up closing',
    protects: 'ever new identities that name heads stop the run',
    file: 'proposing.js',
    from: 'if (!ranked.includes(peer) || state.tooOld.has(claim.head))',
    to: 'if (state.tooOld.has(claim.head))',
    noticedBy: 'strangers name heads that do not exist'
  },
  // ---- what is followed
  {
    defence: 'a record that closes early is not followed at once',
    protects: 'whoever closes first shuts out the work of all others',
    file: 'following.js',
    from: 'if (isWhole(state, record) || mostAreAt(state, record))',
    to: 'if (true)',
    noticedBy: 'strangers close every round at once'
  },
  {
    defence: 'a rival for what a closer hid',
    protects: 'who closes at the deadline can leave out what all hold',
    file: 'proposing.js',
    from: 'if (state.missed.length === 0 || self === null || parent === null)',
    to: 'if (true)',
    noticedBy: 'a member hides the work of one at the deadline'
  },
  {
    defence: 'late work makes no rival',
    protects: 'a contribution made after its round was over reopens it',
    file: 'proposing.js',
    from: ' || open.heldAt > before',
    to: '',
    noticedBy: 'a member gives after the round'
  },
  {
    defence: 'a record whose parts cannot be had is left out of the choice',
    protects: 'a member that withholds a body stops the run',
    file: 'catching-up.js',
    from: `if (now >= until)
            leaveOut(state, next, out);
        else
            wakeAt(state, until);`,
    to: '',
    noticedBy: 'a record that lists what cannot be had'
  },
  {
    defence: 'records that were left out are tried again',
    protects: 'who could not have the parts once never comes to the branch that the others took',
    file: 'rules.js',
    from: '    retryLeftOut(state, out);\n',
    to: '',
    noticedBy: 'a line that is too slow for a while'
  },
  {
    defence: 'a node far behind takes an anchor as it is',
    protects: 'a joiner waits for bodies that nobody keeps',
    file: 'catching-up.js',
    from: 'if (path.length > recomputed(state) + 1 || path[0].computeFailures >= COMPUTE_TRIES) {',
    to: 'if (false) {',
    noticedBy: 'a node that is away for long'
  },
  {
    defence: 'the turn of whoever closed with a record that cannot be had is over',
    protects: 'it is waited for again after its record was left out',
    file: 'proposing.js',
    from: "child.status === 'invalid' || child.leftOut || child === state.early",
    to: 'false',
    noticedBy: 'who goes first lists what cannot be had'
  },
  {
    defence: 'a late sibling is not followed at once',
    protects: 'a member that shows its record again and again takes everybody back each time',
    file: 'following.js',
    from: 'if (branch.takesBack)',
    to: 'if (true)',
    noticedBy: 'members show a record again and again, each time with more'
  },
  {
    defence: 'a head that only its closer claims lifts no limit',
    protects: 'a member makes everybody look at as many records as it likes',
    file: 'intake.js',
    from: 'live.head === cid && peer !== closer && knownAt(state.tree, state.head, peer)',
    to: 'live.head === cid',
    noticedBy: 'a member shows a record again and again, and says that each is its head'
  },
  // ---- the choice
  {
    defence: 'strangers weigh nothing',
    protects: 'identities that cost nothing outweigh the members',
    file: 'chain/weight.js',
    from: 'if (isKnown(part.peer))',
    to: '',
    noticedBy: 'strangers train with the smaller side of a split'
  },
  {
    defence: 'weight is bounded by maxTokensPerRound',
    protects: 'one claim of a million tokens outweighs everybody',
    file: 'chain/validity.js',
    from: 'Math.min(contribution.tokens, rules.maxTokensPerRound)',
    to: 'contribution.tokens',
    noticedBy: 'members claim any number of tokens'
  },
  {
    defence: 'who claims tokens says as many as its steps have',
    protects: 'a claim of work that nobody did weighs as much as work',
    file: 'chain/validity.js',
    from: 'if (tokensPerStep !== undefined && tokens !== steps * tokensPerStep)',
    to: 'if (false)',
    noticedBy: 'members claim tokens that their steps do not have'
  },
  {
    defence: 'steps are those that a round has',
    protects: 'whoever claims a million steps weighs as much as all others together',
    file: 'chain/validity.js',
    from: 'if (maxSteps !== undefined && steps > maxSteps)',
    to: 'if (false)',
    noticedBy: 'members claim more steps than a round has'
  },
  {
    defence: 'the heavier branch is chosen, not the first that came',
    protects: 'nodes that heard two records in different order never agree',
    file: 'chain/choice.js',
    from: 'if (order > 0)',
    to: 'if (false)',
    noticedBy: 'rough storm'
  },
  {
    defence: 'weight comes before rank',
    protects: 'the smaller half of a split wins by the luck of a rank',
    file: 'chain/choice.js',
    from: 'const order = weight - best.weight ||',
    to: 'const order =',
    noticedBy: 'strangers train with the smaller side of a split'
  },
  {
    defence: 'of equally heavy records the better-ranked closer is preferred',
    protects: 'a record shown late by a lower rank takes others back',
    file: 'chain/choice.js',
    from: 'compareClosers(run, fork.round + 1, members, best.child.closer, child.closer) ||',
    to: '',
    noticedBy: 'closers of unlike speed'
  },
  {
    defence: 'of equally heavy records a member has the better one',
    protects: 'whoever has a new name accepted in each round, the best in the next, takes everybody back in each',
    file: 'chain/choice.js',
    from: 'const members = membersAfter(fork);',
    to: 'const members = new Set(fork.recent.flat());',
    noticedBy: 'strangers with the best of ranks in the round after give, and one of them closes each round anew'
  },
  {
    defence: 'of equally heavy records a stranger has the worse one',
    protects: 'whoever searches names for the best rank takes everybody back in each round',
    file: 'closing.js',
    from: 'if (behind !== 0)\n        return behind;',
    to: '',
    noticedBy: 'strangers with the best of ranks give, and one closes beside the members'
  },
  // ---- validity
  {
    defence: 'a record needs a quorum',
    protects: 'one identity alone moves the mesh',
    file: 'chain/validity.js',
    from: 'if (distinctAuthors(parts) < rules.quorum)',
    to: 'if (false)',
    noticedBy: 'a record below the quorum'
  },
  {
    defence: 'a closer is ranked or in its record',
    protects: 'anybody can close with the work of others, without giving any',
    file: 'chain/validity.js',
    from: 'if (!parts.some(part => part.peer === record.closer) && !recentAuthors(parent).includes(record.closer))',
    to: 'if (false)',
    noticedBy: 'a stranger closes with the work of others'
  },
  {
    defence: 'an author counts once a round',
    protects: 'one contribution is summed into two anchors',
    file: 'chain/validity.js',
    from: 'return parent.parts.some(part => part.age === 0 && part.peer === contribution.peer) ? null : 1;',
    to: 'return 1;',
    noticedBy: 'calm'
  },
  {
    defence: 'a contribution belongs to its round',
    protects: 'old work is shown again and summed again',
    file: 'chain/validity.js',
    from: 'const age = ageAfter(parent, found.contribution);',
    to: 'const age = ageAfter(parent, found.contribution) ?? 1;',
    noticedBy: 'a record that lists old work'
  },
  {
    defence: 'contributions are listed in one order, one for each author',
    protects: 'one author is summed twice under two names of its work',
    file: 'chain/validity.js',
    from: 'if (last !== undefined && compareParts(last, part) >= 0)',
    to: 'if (false)',
    noticedBy: 'a record that lists one author twice'
  },
  {
    defence: 'an anchor is computed and compared',
    protects: 'a closer puts any anchor in place of the sum',
    file: 'intake.js',
    from: 'if (anchor !== entry.anchor) {',
    to: 'if (false) {',
    noticedBy: 'a record with another anchor'
  },
  {
    defence: 'a record that lists what was refused by content is invalid',
    protects: 'everybody waits for the parts of a record that can never be had',
    file: 'intake.js',
    from: 'if (refused !== undefined)\n            return { refused };',
    to: '',
    noticedBy: 'a record that lists what was refused'
  },
  {
    defence: 'only those admitted contribute',
    protects: 'a run with a list of peers takes the work of everybody',
    file: 'chain/validity.js',
    from: 'return !Array.isArray(admission) || admission.includes(peer);',
    to: 'return true;',
    noticedBy: 'strangers give where only members may'
  },
  {
    defence: 'a grant is the word of an inviter, for its bearer, in this run',
    protects: 'a run by invitation takes the work of everybody',
    file: 'chain/validity.js',
    from: 'if (grant === undefined || grant.run !== run || grant.peer !== peer || !inviters.includes(grant.inviter))\n        return false;',
    to: 'if (grant === undefined) return true;',
    noticedBy: 'strangers give with a grant of another, a false one, one that is over, and none'
  },
  {
    defence: 'a grant ends, and none reaches further than the manifest says',
    protects: 'who was invited once takes part for ever',
    file: 'chain/validity.js',
    from: 'return round <= grant.untilRound && grant.untilRound - round <= grantRounds;',
    to: 'return true;',
    noticedBy: 'strangers give with a grant of another, a false one, one that is over, and none'
  },
  // ---- bounds
  {
    defence: 'an author has two contributions a round at most',
    protects: 'one peer makes everybody fetch as many bodies as it likes',
    file: 'intake.js',
    from: 'if ((state.perAuthor.get(parent)?.get(peer) ?? 0) >= MAX_PER_AUTHOR_AND_PARENT)',
    to: 'if (false)',
    noticedBy: 'a flood of contributions of one member'
  },
  {
    defence: 'open contributions are bounded',
    protects: 'identities that cost nothing fill the memory',
    file: 'intake.js',
    from: 'if (state.contributions.size < MAX_OPEN_CONTRIBUTIONS)',
    to: 'if (true)',
    noticedBy: 'a flood of contributions of strangers'
  },
  {
    defence: 'strangers make room for members',
    protects: 'identities that cost nothing shut out the members by filling the queue',
    file: 'intake.js',
    from: 'drop(state, other);\n            return null;',
    to: "return 'too_many_contributions';",
    noticedBy: 'a flood of contributions of strangers'
  },
  {
    defence: 'contributions to records that nobody has are bounded',
    protects: 'one peer fills the queue with work on records that do not exist',
    file: 'intake.js',
    from: 'if (strays >= MAX_STRAY_CONTRIBUTIONS)',
    to: 'if (false)',
    noticedBy: 'a flood of contributions to records that nobody has'
  },
  {
    defence: 'rumours of contributions are bounded',
    protects: 'one peer that announces what does not exist fills the memory',
    file: 'catching-up.js',
    from: 'if (state.unknown.size >= MAX_UNKNOWN_CONTRIBUTIONS) {',
    to: 'if (false) {',
    noticedBy: 'a flood of rumours'
  },
  {
    defence: 'orphans are bounded',
    protects: 'records without parents fill the memory',
    file: 'intake.js',
    from: 'if (state.orphans.size >= MAX_ORPHAN_RECORDS)',
    to: 'if (false)',
    noticedBy: 'a flood of records without parents'
  },
  {
    defence: 'a closer has two records a round at most',
    protects: 'one peer makes everybody look at as many records as it likes',
    file: 'intake.js',
    from: 'if (sameCloser.length >= MAX_RECORDS_PER_CLOSER) {',
    to: 'if (false) {',
    noticedBy: 'a flood of records of one member'
  },
  {
    defence: 'peers are bounded',
    protects: 'identities that cost nothing fill the memory by being present',
    file: 'intake.js',
    from: 'if (before === undefined && state.peers.size >= MAX_PEERS)',
    to: 'if (false)',
    noticedBy: 'a flood of peers'
  },
  {
    defence: 'records off the own chain are bounded',
    protects: 'records of identities that cost nothing fill the memory',
    file: 'intake.js',
    from: 'tree.byCid.size - (head.round - tree.root.round) <= MAX_RECORDS_OFF_CHAIN',
    to: 'true',
    noticedBy: 'a flood of records of strangers'
  },
  {
    defence: 'what records off the own chain list is bounded',
    protects: 'a few long records fill the memory',
    file: 'intake.js',
    from: 'state.listedOffChain + contributions.length <= MAX_LISTED_OFF_CHAIN',
    to: 'true',
    noticedBy: 'a flood of records that list all that they can'
  },
  {
    defence: 'what parted too long ago is remembered in bounds',
    protects: 'names of records that nobody can look at fill the memory',
    file: 'state.js',
    from: 'if (tooOld.size > MAX_ORPHAN_RECORDS)',
    to: 'if (false)',
    noticedBy: 'a flood of records that parted too long ago'
  },
  {
    defence: 'own work is watched in bounds',
    protects: 'a branch that grows and falls again and again fills the memory with own work',
    file: 'intake.js',
    from: 'if (own.size <= MAX_WATCHED)',
    to: 'if (true)',
    noticedBy: 'a flood of own work on branches'
  },
  // ---- what a node is told of its own work
  {
    defence: 'a node is told what became of its work',
    protects: 'a delta that was lost is not given back to the model',
    file: 'rules.js',
    from: 'own.push({ cid, fate });',
    to: '',
    noticedBy: 'calm'
  },
  {
    defence: 'a node is told what became of its work on a branch that it left',
    protects: 'a delta that was lost in a split is never given back to the model',
    file: 'rules.js',
    from: 'own.push({ cid, fate });',
    to: 'if (!fork)\n            own.push({ cid, fate });',
    noticedBy: 'rough storm'
  },
  {
    defence: 'a body that was lost is fetched again',
    protects: 'a node goes on announcing what it does not have',
    file: 'intake.js',
    from: 'open.held = false;\n    open.heldAt = null;',
    to: '',
    noticedBy: 'disks go bad'
  }
]

/** How often the text of a mutation occurs: anything but once makes it mean nothing. */
export function occurrences(code: string, { from }: Edit): number {
  return code.split(from).length - 1
}

export function applied(code: string, { from, to }: Edit): string {
  return code.replace(from, () => to)
}
