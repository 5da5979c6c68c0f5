// All commands under one name: parsing, help, and how every failure is printed. Commands import what is heavy when they run, so that help is instant.
import { Command, CommanderError, Help } from 'commander'
import { registerBan } from './commands/ban.ts'
import { registerBench } from './commands/bench.ts'
import { registerCheckpoint } from './commands/checkpoint.ts'
import { registerConfig } from './commands/config.ts'
import { registerDaemon } from './commands/daemon.ts'
import { registerEngines } from './commands/engines.ts'
import { registerEval } from './commands/eval.ts'
import { registerEvents } from './commands/events.ts'
import { registerGenerate } from './commands/generate.ts'
import { registerId } from './commands/id.ts'
import { registerIdentity } from './commands/identity.ts'
import { registerInit } from './commands/init.ts'
import { registerLogs } from './commands/logs.ts'
import { registerMesh } from './commands/mesh.ts'
import { registerPeers } from './commands/peers.ts'
import { registerRounds } from './commands/rounds.ts'
import { registerRun } from './commands/run.ts'
import { registerStatus } from './commands/status.ts'
import { registerStop } from './commands/stop.ts'
import { packageVersion, registerVersion } from './commands/version.ts'
import { registerWait } from './commands/wait.ts'
import { registerWhy } from './commands/why.ts'
import { EXIT, exitCodeOf, type Failure, failureOf } from './errors.ts'
import { nearestName } from './nearest.ts'
import { wait } from './option-values.ts'
import { Output } from './output.ts'

const EXIT_CODES = `
Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 daemon not running, 4 timeout, 5 not authorised, 6 check failed.
Answers go to stdout, remarks and logs to stderr. First time here: shoal mesh run
`

/** The whole command tree. */
export function createProgram(): Command {
  const program = new Command('shoal')
    .description('Train one language model together on the machines you have.')
    .version(packageVersion(), '-V, --version', 'say the version')
    .option('--home <dir>', "the node's folder (SHOAL_HOME; default: shoal in the XDG data folder)")
    .option('--api <url>', 'control API of the daemon to ask (SHOAL_API; default: the one that runs in --home)')
    .option('--json', 'answer with one JSON document on stdout; streams with one a line')
    .option('--timeout <time>', 'give up after this long, such as 30s or 8m', wait)
    .option('--no-color', 'no colours (NO_COLOR)')
    .option('-q, --quiet', 'no remarks on stderr')
    .option('-v, --verbose', 'more remarks on stderr')
    .addHelpText('after', EXIT_CODES)
    .helpCommand('help [command]', 'say what a command does')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({ outputError: () => undefined, writeErr: () => undefined })

  const groups: [string, ((program: Command) => void)[]][] = [
    [
      'A node:',
      [registerInit, registerDaemon, registerStop, registerStatus, registerId, registerIdentity, registerPeers, registerBan, registerWait]
    ],
    ['What it does:', [registerEvents, registerLogs, registerConfig]],
    ['Training:', [registerRun, registerRounds, registerWhy, registerCheckpoint, registerEval, registerGenerate]],
    ['Measuring and trying out:', [registerEngines, registerMesh, registerBench, registerVersion]]
  ]
  for (const [title, registrations] of groups) {
    program.commandsGroup(title)
    for (const register of registrations) register(program)
  }
  return program
}

/** Parses and runs one command line. @returns the exit code. */
export async function main(argv: string[], env: NodeJS.ProcessEnv): Promise<number> {
  // A reader that has seen enough, such as `head`, closes the pipe, and a person the window: that is no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' || process.stdout.isTTY ? EXIT.ok : EXIT.failed)
  )
  // Remarks that nobody can read change no outcome; the daemon's log gives its terminal up by itself.
  process.stderr.on('error', () => {})
  const program = createProgram()
  try {
    await program.parseAsync(argv)
    return exitStatus()
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok
    const failure = error instanceof CommanderError ? usageFailure(error, program, argv.slice(2)) : failureOf(error)
    const json = argv.includes('--json')
    const output = new Output({ json, verbosity: 0, color: false })
    output.failure(failure)
    if (argv.includes('-v') || argv.includes('--verbose')) output.note(stackOf(error))
    else if (failure.code === 'failed' && env.SHOAL_DEBUG !== undefined) output.note(stackOf(error))
    return exitCodeOf(failure)
  }
}

/** A command that has printed its own answer may still end with a code of its own, such as a report whose expectations failed. */
function exitStatus(): number {
  return typeof process.exitCode === 'number' ? process.exitCode : EXIT.ok
}

const USAGE: Record<string, string> = {
  'commander.unknownOption': 'unknown_option',
  'commander.unknownCommand': 'unknown_command',
  'commander.missingArgument': 'missing_argument',
  'commander.optionMissingArgument': 'missing_argument',
  'commander.missingMandatoryOptionValue': 'missing_argument',
  'commander.help': 'missing_argument'
}

/** Commander's refusals in our shape, with the nearest name where a name was wrong. */
function usageFailure(error: CommanderError, program: Command, argv: string[]): Failure {
  const code = USAGE[error.code] ?? 'bad_argument'
  const { command, path } = commandOf(program, argv)
  const text = error.message.replace(/^error: /, '').split('\n')[0]!
  const help = `see: ${path} --help`
  if (error.code === 'commander.help') {
    const names = command.commands.map(sub => sub.name()).filter(name => name !== 'help')
    return { code, message: `${path} wants a command`, hint: `one of ${names.join(', ')}; ${help}` }
  }
  const wrong = /'([^']+)'/.exec(text)?.[1]
  if (wrong === undefined) return { code, message: text, hint: help }
  if (code === 'unknown_option') {
    const given = wrong.split('=')[0]!
    const long = new Help()
      .visibleOptions(command)
      .concat(program.options)
      .flatMap(option => (option.long == null ? [] : [option.long]))
    const nearest = nearestName(given, long)
    return { code, message: text, hint: nearest === undefined ? help : `did you mean ${nearest}?` }
  }
  if (code === 'unknown_command') {
    const nearest = nearestName(
      wrong,
      command.commands.map(sub => sub.name())
    )
    return { code, message: text, hint: nearest === undefined ? help : `did you mean ${path} ${nearest}?` }
  }
  return { code, message: text, hint: help }
}

/** The command that a line was meant for, as far as its words name one. */
function commandOf(program: Command, argv: string[]): { command: Command; path: string } {
  let command = program
  let path = program.name()
  for (const word of argv) {
    const next = command.commands.find(sub => sub.name() === word || sub.aliases().includes(word))
    if (next === undefined) continue
    command = next
    path = `${path} ${next.name()}`
  }
  return { command, path }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
