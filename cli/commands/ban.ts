// `shoal ban PEER` and `shoal unban PEER`: whom this node has nothing to do with. What others do is theirs.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { duration } from '../option-values.ts'
import { thePeer } from '../peer-argument.ts'
import { standingText } from '../status-text.ts'

export function registerBan(program: Command): void {
  program
    .command('ban')
    .description('refuse all connections with a peer, and count nothing of it in the rounds that this node closes')
    .argument('<peer>', 'a peer id, or its end as `shoal peers` shows it')
    .option('--for <time>', 'such as 1h or 7d; left out: until it is unbanned', duration)
    .option('--reason <text>', 'kept, and shown by `shoal why`')
    .action(
      action<{ for?: number; reason?: string }>(async ({ output, control, signal }, flags, word) => {
        const client = await control()
        const { for: forMs, reason } = flags
        const peer = await thePeer(client, word!, signal)
        const request = { peer, ...(forMs === undefined ? {} : { forMs }), ...(reason === undefined ? {} : { reason }) }
        const answer = await client.banPeer(request, { signal })
        output.answer(answer, () => standingText(answer.standing))
      })
    )
  program
    .command('unban')
    .description('trust a peer again, whatever it did')
    .argument('<peer>', 'a peer id, or its end as `shoal peers` shows it')
    .action(
      action(async ({ output, control, signal }, _options, word) => {
        const client = await control()
        const answer = await client.unbanPeer(await thePeer(client, word!, signal), { signal })
        output.answer(answer, () => standingText(answer.standing))
      })
    )
}
