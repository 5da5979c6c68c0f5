// Where a daemon's settings come from: a flag wins over the environment, that over the home's file, that over the profile, that over the default.
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { SettingRow } from '../protocols/control/messages.ts'
import { isBuiltin } from './corpora.ts'
import { DaemonError, type Issue } from './errors.ts'
import { nearestName } from './nearest-name.ts'
import { SETTINGS, type Setting } from './settings.ts'
import { issueSentence } from './wrong-values.ts'
import { readYaml } from './yaml-text.ts'

type Settings = typeof SETTINGS
export type SettingKey = keyof Settings
export type SettingOrigin = SettingRow['from']

/** The daemon's settings, checked; sizes in bytes. */
export type DaemonConfig = { [K in SettingKey]: Settings[K] extends Setting<infer T> ? T : never } & {
  /** Absolute path of the node's folder. */
  home: string
  /** The file that was read, null where there was none. */
  file: string | null
  /** Where each value came from. */
  origins: Record<SettingKey, SettingOrigin>
}

export interface ConfigSources {
  /** From the command line, by setting key; undefined where not given. */
  flags?: Partial<Record<SettingKey | 'home', unknown>>
  /** The environment; `SHOAL_HOME`, `SHOAL_API_PORT` and so on are read. */
  env?: Record<string, string | undefined>
  /** The user's own folder, for the default home. */
  userHome?: string
}

const KEYS = Object.keys(SETTINGS) as SettingKey[]

/** Bytes of a configuration file; real ones are under 4 KiB. */
const MAX_CONFIG_BYTES = 256 * 1024

/** The node's folder: flag, SHOAL_HOME, or `shoal` in the XDG data folder. */
export function homeOf(sources: ConfigSources): string {
  const { flags = {}, env = {}, userHome = '.' } = sources
  const chosen = flags.home ?? env.SHOAL_HOME
  if (typeof chosen === 'string' && chosen !== '') return resolve(chosen)
  return resolve(env.XDG_DATA_HOME || join(userHome, '.local', 'share'), 'shoal')
}

/**
 * Reads HOME/config.yaml or .json and lays flags and environment over it.
 * Throws `config_unreadable`, `config_syntax`, `config_unknown_key` or `config_value`, every wrong place in `details.issues`.
 */
export async function loadConfig(sources: ConfigSources = {}): Promise<DaemonConfig> {
  const { config, error } = await readConfig(sources)
  if (error !== undefined) throw error
  return config
}

/** The same for somebody who only looks: the default stands for a wrong value, and the error is told beside. Throws `config_unreadable`, `config_syntax`. */
export async function readConfig(sources: ConfigSources = {}): Promise<{ config: DaemonConfig; error?: DaemonError }> {
  const home = homeOf(sources)
  const file = await readConfigFile(home)
  const issues = unknownKeys(file)
  const values: Record<string, unknown> = {}
  const origins: Partial<Record<SettingKey, SettingOrigin>> = {}
  const take = (key: SettingKey): void => {
    const facts = SETTINGS[key] as Setting<unknown>
    const given = firstGiven(key, sources, file)
    const read = given === undefined ? undefined : facts.read(given.input)
    const changed = values.profile === 'test' && facts.profile !== undefined
    values[key] = read !== undefined ? read : changed ? facts.profile?.test : facts.default
    origins[key] = given !== undefined && read !== undefined ? given.from : changed ? 'profile' : 'default'
    if (given === undefined || read !== undefined) return
    const line = given.from === 'file' ? file.lineOf([key]) : undefined
    issues.push({ code: 'config_value', path: key, value: given.input, allowed: facts.allowed, source: given.source, ...lineAt(line) })
  }
  take('profile') // first: it changes the others' defaults
  for (const key of KEYS) if (key !== 'profile') take(key)

  // A path that is kept must not lead elsewhere where the daemon is started in another folder the next time.
  const folder = origins.data === 'file' ? home : '.'
  values.data = (values.data as string[]).map(source => (isBuiltin(source) ? source : resolve(folder, source)))

  const config = {
    ...(values as Omit<DaemonConfig, 'home' | 'file' | 'origins'>),
    home,
    file: file.path,
    origins: origins as DaemonConfig['origins']
  }
  if (issues.length === 0) return { config }
  const sentences = issues.map(issue => issueSentence(issue, 'the configuration'))
  const hint = 'shoal config show lists every setting'
  return { config, error: new DaemonError(issues[0]!.code, sentences.join('\n'), { hint, details: { issues } }) }
}

function firstGiven(
  key: SettingKey,
  sources: ConfigSources,
  file: ConfigFile
): { from: SettingOrigin; input: unknown; source: string } | undefined {
  const { flags = {}, env = {} } = sources
  if (flags[key] !== undefined) return { from: 'flag', input: flags[key], source: `--${SETTINGS[key].flag ?? key}` }
  const variable = envOf(key)
  if (env[variable] !== undefined && env[variable] !== '') return { from: 'env', input: env[variable], source: variable }
  if (file.path !== null && file.values[key] !== undefined) return { from: 'file', input: file.values[key], source: file.path }
  return undefined
}

function unknownKeys(file: ConfigFile): Issue[] {
  return Object.keys(file.values)
    .filter(key => !Object.hasOwn(SETTINGS, key))
    .map(key => {
      const nearest = nearestName(key, KEYS)
      const guess = nearest === undefined ? {} : { nearest }
      const allowed = `one of ${KEYS.join(', ')}`
      return {
        code: 'config_unknown_key',
        path: key,
        value: file.values[key],
        allowed,
        source: file.path ?? '',
        ...guess,
        ...lineAt(file.lineOf([key]))
      }
    })
}

function lineAt(line: number | undefined): { line?: number } {
  return line === undefined ? {} : { line }
}

/** Every setting with its value and where it came from, for `config show`. */
export function settingRows(config: DaemonConfig): SettingRow[] {
  return KEYS.map(key => {
    const facts = SETTINGS[key]
    const usual = config.profile === 'test' && facts.profile !== undefined ? facts.profile.test : facts.default
    return {
      key,
      value: config[key],
      from: config.origins[key],
      default: usual,
      reason: facts.reason,
      env: envOf(key),
      flag: facts.flag === null ? null : `--${facts.flag}`
    }
  })
}

/** The environment variable of a setting: apiPort is SHOAL_API_PORT. */
export function envOf(key: string): string {
  return `SHOAL_${key.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()}`
}

interface ConfigFile {
  path: string | null
  values: Record<string, unknown>
  lineOf(path: (string | number)[]): number | undefined
}

async function readConfigFile(home: string): Promise<ConfigFile> {
  const found: { path: string; text: string }[] = []
  for (const name of ['config.yaml', 'config.json']) {
    const path = join(home, name)
    try {
      found.push({ path, text: await readFile(path, 'utf8') })
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code
      if (code !== 'ENOENT' && code !== 'ENOTDIR')
        throw new DaemonError('config_unreadable', `cannot read ${path}: ${(cause as Error).message}`, { cause })
    }
  }
  const [first, second] = found
  if (first === undefined) return { path: null, values: {}, lineOf: () => undefined }
  if (second !== undefined) {
    throw new DaemonError('config_unreadable', `${first.path} and ${second.path} both exist`, { hint: 'keep one of them' })
  }
  const { path, text: content } = first
  if (Buffer.byteLength(content) > MAX_CONFIG_BYTES) {
    throw new DaemonError('config_unreadable', `${path} has ${Buffer.byteLength(content)} bytes, at most ${MAX_CONFIG_BYTES} are read`)
  }
  const read = readYaml(content)
  if ('message' in read) {
    const at = read.line === undefined ? '' : `:${read.line}`
    throw new DaemonError('config_syntax', `${path}${at} is not YAML or JSON: ${read.message}`)
  }
  const values = read.value ?? {}
  if (typeof values !== 'object' || Array.isArray(values)) throw new DaemonError('config_syntax', `${path} must hold a map of settings`)
  return { path, values: values as Record<string, unknown>, lineOf: read.lineOf }
}
