// What npm runs as `prepare`: builds dist/. Where development dependencies are left out there is no compiler to rely on, so what is built stays
// as it is: `npm ci --omit=dev` beside a dist/ that was built before must neither fail nor empty it.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

if (Object.keys(devDependencies).every(name => existsSync(join(root, 'node_modules', name)))) {
  const { status } = spawnSync('npm run clean && npm run build', { cwd: root, shell: true, stdio: 'inherit' })
  process.exit(status ?? 1)
}
// Whether it was built from this source nobody can tell here.
if (existsSync(join(root, 'dist', 'cli', 'main.js')))
  console.error('shoal: dist/ stays as it was built before. Where the source is newer, run `npm ci`, then `npm prune --omit=dev`.')
else
  console.error('shoal: nothing is built here, since development dependencies are left out. Run `npm ci`, then `npm prune --omit=dev`.')
