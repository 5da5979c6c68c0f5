// `shoal id`: who this node is and how another machine joins it.
import type { Command } from 'commander'
import { action } from '../action.ts'

export function registerId(program: Command): void {
  program
    .command('id')
    .description('this node: peer id, addresses, and the line that lets another machine join')
    .action(
      action(async ({ output, control, signal }) => {
        const id = await (await control()).id({ signal })
        output.answer(id, () =>
          [
            `peer      ${id.peer}`,
            `network   ${id.network}`,
            `home      ${id.home}`,
            `version   ${id.version}`,
            ...id.addresses.map((address, index) => `${index === 0 ? 'address ' : '        '}  ${address}`),
            `join with ${id.join}`
          ].join('\n')
        )
      })
    )
}
