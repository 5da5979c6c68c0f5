// A run that admits by invitation, with real daemons: strangers wait, invitations let in, and those that are spent or taken back say why they do not.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { testDaemons } from './daemons.ts'

const SPEC = {
  name: 'invited',
  model: { family: 'gpt2', layers: 1, width: 32, heads: 2, context: 32, biases: false },
  tokenizer: { kind: 'bytes' },
  data: { corpus: 'private' },
  // Eight rounds to a grant, so that a renewal falls into the test.
  admission: { invitation: { grantRounds: 8 } },
  strategy: { innerSteps: 4, deadlineMs: 4_000, graceMs: 500 },
  optimizer: { learningRate: 5e-3, batch: 4 }
}

const DATA = { data: ['sotu:1790-1860'] }

describe('a run by invitation', function () {
  this.timeout(600_000)
  const { home, until, ...daemons } = testDaemons('shoal-invitation-', 300_000)
  // What is logged is looked at.
  const start = (name: string, flags: Record<string, unknown> = {}) => daemons.start(name, { logLevel: 'info', ...flags })

  it('admits by invitation or by hand, renews, and says why it does not', async () => {
    const author = await start('author')
    const { run } = await author.control.createRun({ spec: SPEC })
    await author.control.joinRun(run, DATA)
    const { text, invitation } = await author.control.invite(run)
    const spent = await author.control.invite(run, { expiresMs: 1 })
    const revoked = await author.control.invite(run)
    await author.control.revokeInvitation(run, revoked.text)

    // An invitation alone is enough: the newcomer knows neither the run nor anybody.
    const invited = await start('invited')
    for (const [wrong, code] of [
      [spent.text, 'invitation_expired'],
      [revoked.text, 'invitation_revoked']
    ] as const) {
      await assert.rejects(invited.control.joinByInvitation({ ...DATA, invitation: wrong }), { code })
      assert.deepEqual((await invited.control.runs()).runs, [])
    }
    await invited.control.joinByInvitation({ ...DATA, invitation: text, name: 'attic' })
    assert.deepEqual((await author.control.invitations(run)).invitations.find(row => row.id === invitation.id)?.usedBy, [invited.peer])

    const stranger = await start('stranger', { bootstrap: author.daemon.ready.addresses[0] })
    await assert.rejects(stranger.control.joinRun(run, { ...DATA, invitation: text }), { code: 'invitation_used_up' })
    const joining = await stranger.control.joinRun(run, DATA)
    assert.equal(joining.status.state, 'joining')
    assert.match(joining.status.reason ?? '', /waiting for admission by 12D3KooW/)
    const { candidates } = await author.control.candidates(run)
    const waiting = candidates.find(({ state }) => state === 'pending')
    assert.equal(waiting?.peer, stranger.peer)
    assert.equal(waiting?.address, '127.0.0.1')

    await author.control.decideCandidate(run, { peer: stranger.peer, state: 'admitted' })
    // More rounds than the first grant reaches, with contributions of all three.
    const contributed = async () => {
      const { rounds } = await author.control.rounds(run, { limit: 100 })
      return rounds.filter(row => row.contributors.some(({ peer }) => peer === invited.peer)).map(({ round }) => round)
    }
    await until(async () => Math.max(0, ...(await contributed())) > 7)
    // Who was admitted by hand asks again after a while, and rounds do not wait for it.
    await until(async () => {
      const { rounds } = await author.control.rounds(run, { limit: 100 })
      const authors = new Set(rounds.flatMap(row => row.contributors.map(({ peer }) => peer)))
      return [author, invited, stranger].every(({ peer }) => authors.has(peer)) && authors.size === 3
    })

    await author.control.decideCandidate(run, { peer: stranger.peer, state: 'revoked' })
    await until(async () => {
      const row = (await stranger.control.runs()).runs.find(status => status.run === run)
      return row?.state === 'paused' && /waiting for admission .* taken this node's admission back/.test(row.reason ?? '')
    })

    // What an operator did is kept, and the secrets are nowhere but where they were handed out.
    const secret = text.slice(-20)
    for (const name of ['author', 'invited']) {
      for (const file of await readdir(join(home(name), 'logs')))
        assert.ok(!(await readFile(join(home(name), 'logs', file), 'utf8')).includes(secret), `the secret is in the log of ${name}`)
    }
    assert.ok(!JSON.stringify(await author.control.eventList({ limit: 10_000 })).includes(secret))
    await author.daemon.stop()
    const again = await start('author')
    await until(async () => (await again.control.runs()).runs.some(row => row.run === run && row.state !== 'joining'))
    assert.deepEqual(
      (await again.control.invitations(run)).invitations.map(({ state }) => state),
      ['used_up', 'expired', 'revoked']
    )
    assert.equal((await again.control.candidates(run)).candidates.find(({ peer }) => peer === stranger.peer)?.state, 'revoked')
  })
})
