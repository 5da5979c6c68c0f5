// `shoal peers`: who this node is in touch with; `shoal peers connect ADDRESS` dials one.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { peersTable } from '../status-text.ts'

export function registerPeers(program: Command): void {
  const peers = program.command('peers').description('the nodes that this one is in touch with, and how each was found')
  peers
    .command('ls', { isDefault: true })
    .description('list them')
    .action(
      action(async ({ output, control, signal }) => {
        const answer = await (await control()).peers({ signal })
        output.answer(answer, () => (answer.peers.length === 0 ? 'no peers yet' : peersTable(answer.peers)))
      })
    )
  peers
    .command('connect')
    .description('dial a node by its address')
    .argument('<address>', 'a multiaddr that ends in /p2p/PEER')
    .action(
      action(async ({ output, control, signal }, _options, address) => {
        const answer = await (await control()).connectPeer(address!, { signal })
        output.answer(answer, () => `connected to ${answer.peer}`)
      })
    )
}
