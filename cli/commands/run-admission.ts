// `shoal run invite` and the rest of an inviter's work: who may come in, who asks, who is sent away.
import type { Command } from 'commander'
import type { CandidateRow, DecideRequest, InvitationRow } from '../../protocols/control/index.ts'
import { action } from '../action.ts'
import { formatTable, shortId } from '../format.ts'
import { duration, wholeNumber } from '../option-values.ts'
import { theRun } from '../run-argument.ts'

interface InviteFlags {
  expires: number | null
  uses: number
  peer?: string
}

const DAY_MS = 24 * 60 * 60_000

const GRANT_STAYS = 'its grant is not renewed; until that ends it may still contribute. To have nothing to do with it here: shoal ban PEER'

/** @returns milliseconds, null for never. */
export const expiry = (text: string): number | null => (text === 'never' ? null : duration(text))

export function registerRunAdmission(run: Command): void {
  run
    .command('invite')
    .description('print an invitation to a run that admits by invitation; whoever has the text may come in')
    .argument('[run]', "a run's id or name")
    .option('--expires <time>', 'how long it is good: 12h, 7d or never', expiry, 7 * DAY_MS)
    .option('--uses <count>', 'how many nodes may come in by it', wholeNumber(1, 1000), 1)
    .option('--peer <peer>', 'the only peer that may')
    .action(
      action<InviteFlags>(async ({ output, control, signal }, { expires, uses, peer }, word) => {
        const client = await control()
        const request = { expiresMs: expires, uses, ...(peer === undefined ? {} : { peer }) }
        const answer = await client.invite(await theRun(client, word, signal), request, { signal })
        output.answer(answer, () => answer.text)
        const { id, expiresAt } = answer.invitation
        const until = expiresAt === null ? 'for ever' : `until ${expiresAt}`
        output.note(
          `invitation ${id}, good for ${uses} ${uses === 1 ? 'node' : 'nodes'} ${until}; it is a secret. They run: shoal run join TEXT`
        )
      })
    )

  run
    .command('invitations')
    .description('the invitations that this node handed out')
    .argument('[run]', "a run's id or name")
    .action(
      action(async ({ output, control, signal }, _options, word) => {
        const client = await control()
        const answer = await client.invitations(await theRun(client, word, signal), { signal })
        output.answer(answer, () => (answer.invitations.length === 0 ? 'no invitations' : invitationsTable(answer.invitations)))
      })
    )

  run
    .command('pending')
    .description('nodes that ask this one for admission')
    .argument('[run]', "a run's id or name")
    .option('--all', 'those that were admitted, refused or sent away, too')
    .action(
      action<{ all?: boolean }>(async ({ output, control, signal }, { all }, word) => {
        const client = await control()
        const { candidates, ...rest } = await client.candidates(await theRun(client, word, signal), { signal })
        const answer = { ...rest, candidates: candidates.filter(({ state }) => all === true || state === 'pending') }
        output.answer(answer, () => (answer.candidates.length === 0 ? 'nobody is waiting' : candidatesTable(answer.candidates)))
      })
    )

  const decisions = [
    ['admit', 'let a node in', 'admitted'],
    ['refuse', 'send away a node that asks, or was let in', 'refused']
  ] as const
  for (const [name, description, state] of decisions) {
    run
      .command(name)
      .description(description)
      .argument('<run>', "a run's id or name")
      .argument('<peer>', 'its peer id, as `shoal run pending` shows it')
      .action(
        action(async ({ output, control, signal }, _options, word, peer) => {
          const client = await control()
          const answer = await client.decideCandidate(await theRun(client, word, signal), { peer: peer!, state }, { signal })
          output.answer(answer, () => candidatesTable([answer.candidate]))
          // Who was let in before is revoked where it is refused.
          if (answer.candidate.state === 'revoked') output.note(GRANT_STAYS)
        })
      )
  }

  run
    .command('revoke')
    .description("take back an invitation, by its id or text, or a node's admission, by its peer id")
    .argument('<run>', "a run's id or name")
    .argument('<subject>', 'an invitation or a peer')
    .action(
      action(async ({ output, control, signal }, _options, word, subject) => {
        const client = await control()
        const id = await theRun(client, word, signal)
        if (subject!.startsWith('12D3KooW')) {
          const request: DecideRequest = { peer: subject!, state: 'revoked' }
          const answer = await client.decideCandidate(id, request, { signal })
          output.answer(answer, () => candidatesTable([answer.candidate]))
          output.note(GRANT_STAYS)
          return
        }
        const answer = await client.revokeInvitation(id, subject!, { signal })
        output.answer(answer, () => invitationsTable([answer.invitation]))
        if (answer.invitation.usedBy.length > 0)
          output.note(`who came in by it stays: ${answer.invitation.usedBy.join(', ')}; send away with: shoal run revoke RUN PEER`)
      })
    )
}

function invitationsTable(rows: InvitationRow[]): string {
  return formatTable(
    ['ID', 'STATE', 'USED', 'EXPIRES', 'ONLY FOR', 'USED BY'],
    rows.map(({ id, state, uses, usedBy, expiresAt, peer }) => [
      id,
      state,
      `${usedBy.length} of ${uses}`,
      expiresAt ?? 'never',
      peer === null ? null : shortId(peer),
      usedBy.map(shortId).join(' ')
    ])
  )
}

function candidatesTable(rows: CandidateRow[]): string {
  return formatTable(
    ['PEER', 'STATE', 'SINCE', 'ASKED', 'FROM', 'CALLS ITSELF', 'BY'],
    rows.map(({ peer, state, since, askedAt, address, name, by }) => [
      peer,
      state,
      since,
      askedAt,
      address,
      name,
      state === 'pending' ? null : (by ?? 'the operator')
    ])
  )
}
