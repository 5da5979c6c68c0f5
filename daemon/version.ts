// This package's version, as package.json says it.
import { readFileSync } from 'node:fs'

/** Such as 0.1.0. */
export const VERSION: string = readVersion()

function readVersion(): string {
  // From dist/daemon/ up to the package's own folder; an installed package has it there, too.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
