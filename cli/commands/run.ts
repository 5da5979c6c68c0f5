// `shoal run`: describe, start, find, join and leave runs.
import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import { INVITATION_PREFIX } from '../../protocols/control/constants.ts'
import type { RunActionDocument } from '../../protocols/control/index.ts'
import { action } from '../action.ts'
import { CliError } from '../errors.ts'
import { readNamed } from '../files.ts'
import { collected, decimalNumber, namedPath, wholeNumber } from '../option-values.ts'
import { theRun, theRunWithCheckpoints } from '../run-argument.ts'
import type { Session } from '../session.ts'
import { runsTable } from '../status-text.ts'
import { registerRunAdmission } from './run-admission.ts'

interface JoinFlags {
  data?: string[]
  train: boolean
  engine?: string
  threads?: number
  audit?: number
  name?: string
}

export function registerRun(program: Command): void {
  const run = program.command('run').description('create, find, join and leave runs')

  withJoinOptions(
    run
      .command('create')
      .description('start a run from its description; prints the id by which others join')
      .argument('<file>', 'YAML or JSON')
      .option('--join', 'also take part in it')
  ).action(
    action<JoinFlags & { join?: boolean }>(async ({ output, control, signal }, flags, file) => {
      const ways = joinRequest(flags)
      const [way] = Object.keys(ways)
      if (flags.join !== true && way !== undefined)
        throw new CliError('bad_argument', `--${way === 'train' ? 'no-train' : way} says how to join, and nothing is joined`, {
          hint: 'add --join'
        })
      const client = await control()
      const answer = await client.createRun(await requestFor(file!), { signal })
      // Said before joining, which may fail: the run is there all the same.
      output.text(answer.run)
      output.note(`others join with: shoal run join ${answer.run}`)
      if (flags.join === true) {
        await client.joinRun(answer.run, ways, { signal }).catch((error: Error & { details?: object }) => {
          // The one document is the error's then: a script learns from it which run there is.
          throw Object.assign(error, { details: { ...error.details, run: answer.run } })
        })
      }
      output.document(answer)
    })
  )

  run
    .command('validate')
    .description('check a description and fill in its defaults, without starting anything')
    .argument('<file>', 'YAML or JSON')
    .action(
      action(async ({ output }, _options, file) => {
        // No daemon is needed: what is wrong with a description is the same everywhere.
        const { parseRunSpec, specWarnings } = await import('../../daemon/index.ts')
        const spec = parseRunSpec(await readNamed(file!), { file: file! })
        const warnings = specWarnings(spec)
        const { stringify } = await import('yaml')
        // Remarks as comments: what is printed is a description again.
        const remarks = [`${file} is a valid description; with its defaults:`, ...warnings.map(text => `warning: ${text}`)]
        output.answer({ schema: 1, spec, warnings }, () => [...remarks.map(text => `# ${text}`), stringify(spec).trimEnd()].join('\n'))
      })
    )

  run
    .command('ls')
    .description('the runs of this node')
    .action(
      action(async ({ output, control, signal }) => {
        const answer = await (await control()).runs({ signal })
        output.answer(answer, () => (answer.runs.length === 0 ? 'no runs' : runsTable(answer.runs)))
      })
    )

  run
    .command('inspect')
    .description("a run's manifest, its model's number of parameters, and how this node stands in it")
    .argument('[run]', "a run's id or name")
    .action(
      action(async ({ output, control, signal }, _options, name) => {
        const client = await control()
        const answer = await client.run(await theRun(client, name, signal), { signal })
        const { stringify } = await import('yaml')
        const { run, parameters, status, manifest } = answer
        output.answer(answer, () => stringify({ run, parameters, status, manifest }).trimEnd())
      })
    )

  withJoinOptions(
    run
      .command('join')
      .description('take part in a run that this mesh knows, or by an invitation alone')
      .argument('<run>', "the run's id, or an invitation's text")
      .option('--invitation <text>', 'an invitation, as `shoal run invite` printed it')
  ).action(
    action<JoinFlags & { invitation?: string }>(async ({ output, control, signal }, flags, word) => {
      const { invitation } = flags
      const isInvitation = word!.startsWith(INVITATION_PREFIX)
      if (isInvitation && invitation !== undefined)
        throw new CliError('bad_argument', 'two invitations are given', { hint: 'leave --invitation out, or name the run' })
      const request = joinRequest(flags)
      const client = await control()
      const answer = isInvitation
        ? await client.joinByInvitation({ ...request, invitation: word! }, { signal })
        : await client.joinRun(
            await theRunWithCheckpoints(client, word, signal),
            { ...request, ...(invitation === undefined ? {} : { invitation }) },
            { signal }
          )
      tell(output, answer)
      if (answer.status.state === 'joining' && answer.status.reason !== null) output.note(answer.status.reason)
    })
  )
  registerRunAdmission(run)

  const doings = [
    ['leave', 'stop taking part; its checkpoints stay', 'leaveRun'],
    ['pause', 'stop training, go on following rounds', 'pauseRun'],
    ['resume', 'train again', 'resumeRun']
  ] as const
  for (const [name, description, method] of doings) {
    run
      .command(name)
      .description(description)
      .argument('[run]', "a run's id or name")
      .action(
        action(async ({ output, control, signal }, _options, word) => {
          const client = await control()
          tell(output, await client[method](await theRun(client, word, signal), { signal }))
        })
      )
  }
}

function withJoinOptions(command: Command): Command {
  return command
    .option('--data <path>', 'a text, JSONL file or folder to train on, or sotu:ERA; again for more', collected)
    .option('--no-train', 'follow the run and hold its anchors without training')
    .option('--engine <name>', 'what computes; see: shoal engines')
    .option('--threads <count>', 'threads of the trainer', wholeNumber(1, 1024))
    .option('--audit <fraction>', "look at so many of others' contributions on text that is here, such as 0.1", decimalNumber(0, 1))
    .option('--name <name>', 'what an inviter is shown of this node where the run admits by invitation')
}

function joinRequest(flags: JoinFlags) {
  return {
    // The daemon's working folder is not this one.
    ...(flags.data === undefined ? {} : { data: flags.data.map(path => (/^sotu(:|$)/.test(path) ? path : namedPath(path))) }),
    ...(flags.train ? {} : { train: false }),
    ...(flags.engine === undefined ? {} : { engine: flags.engine }),
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    ...(flags.audit === undefined ? {} : { audit: flags.audit }),
    ...(flags.name === undefined ? {} : { name: flags.name })
  }
}

async function requestFor(file: string): Promise<{ spec: string; baseDir: string; file: string }> {
  return { spec: await readNamed(file), baseDir: dirname(resolve(file)), file }
}

function tell(output: Session['output'], answer: RunActionDocument): void {
  output.answer(answer, () => runsTable([answer.status]))
}
