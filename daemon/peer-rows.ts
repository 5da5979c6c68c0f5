// One row for each peer that is here: what the connection knows of it and what it says of itself.
import type { PeerRow, Standing } from '../protocols/control/messages.ts'
import type { PresentPeer } from '../protocols/presence/index.ts'
import type { PeerInfo } from './node.ts'

/** Connected peers, those heard by gossip and those that are not trusted, in peer-id order. State is `present` once a peer has spoken, `connected` before, else `away`. */
export function peerRows(
  connected: PeerInfo[],
  present: PresentPeer[],
  distrusted: { peer: string; standing: Standing }[],
  nowMs: number
): PeerRow[] {
  const standings = new Map(distrusted.map(({ peer, standing }) => [peer, standing]))
  const said = new Map(present.map(peer => [peer.peer, peer]))
  const wired = new Map(connected.map(peer => [peer.peer, peer]))
  return [...new Set([...said.keys(), ...wired.keys(), ...standings.keys()])].sort().map(peer => {
    const word = said.get(peer)
    const wire = wired.get(peer)
    return {
      peer,
      addresses: wire?.addresses ?? [],
      direction: wire?.direction ?? null,
      rttMs: wire?.rttMs ?? null,
      lastSeenMs: word === undefined ? null : Math.max(0, nowMs - word.lastSeenMs),
      foundBy: wire?.foundBy ?? null,
      state: word !== undefined ? 'present' : wire !== undefined ? 'connected' : 'away',
      standing: standings.get(peer) ?? 'good',
      runs: (word?.runs ?? []).map(({ run, round, state }) => ({ run, round, state })),
      agent: word?.agent ?? wire?.agent ?? null
    }
  })
}
