// What npm runs when Shoal is installed, in packages made for the test.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { temporaryHome } from '../../storage/temporary-home.ts'

const SCRIPTS = resolve(import.meta.dirname, '../../../../../daemon/install')
const OWN = join(process.platform, process.arch)
const OTHERS = [join('darwin', 'arm64'), join('linux', 'x64'), join('linux', 'arm64'), join('win32', 'x64')].filter(name => name !== OWN)

/** A package in `root` with one of the scripts; @returns a function that runs it. */
function packageWith(root: string, script: string) {
  const folder = join(root, 'daemon', 'install')
  mkdirSync(folder, { recursive: true })
  copyFileSync(join(SCRIPTS, script), join(folder, script))
  return () => {
    const { status, stderr } = spawnSync(process.execPath, [join(folder, script)], { encoding: 'utf8' })
    return { status, stderr }
  }
}

function writeText(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
}

/** Lays out onnxruntime-node's libraries for these platforms; @returns which are still there. */
function runtimeAt(folder: string, platforms: string[]): () => string[] {
  const library = (platform: string) => join(folder, 'bin', 'napi-v6', platform, 'binding.node')
  for (const platform of platforms) writeText(library(platform), platform)
  return () => platforms.filter(platform => existsSync(library(platform)))
}

describe('keep-own-platform', () => {
  const home = temporaryHome()
  const runtime = () => join(home(), 'node_modules', 'onnxruntime-node')

  it("removes the libraries of other platforms and keeps this machine's", () => {
    const left = runtimeAt(runtime(), [OWN, ...OTHERS])
    assert.deepEqual(packageWith(home(), 'keep-own-platform.mjs')(), { status: 0, stderr: '' })
    assert.deepEqual(left(), [OWN])
  })

  it('removes nothing where this machine has no library', () => {
    const left = runtimeAt(runtime(), OTHERS)
    assert.equal(packageWith(home(), 'keep-own-platform.mjs')().status, 0)
    assert.deepEqual(left(), OTHERS)
  })

  it('passes over files that lie beside the folders', () => {
    const left = runtimeAt(runtime(), [OWN, ...OTHERS])
    for (const folder of ['bin', join('bin', 'napi-v6'), join('bin', 'napi-v6', process.platform)])
      writeText(join(runtime(), folder, '.DS_Store'), '')
    assert.deepEqual(packageWith(home(), 'keep-own-platform.mjs')(), { status: 0, stderr: '' })
    assert.deepEqual(left(), [OWN])
  })

  it('warns and lets the install go on whatever goes wrong', () => {
    writeText(join(runtime(), 'bin'), 'a file where a folder should be')
    const { status, stderr } = packageWith(home(), 'keep-own-platform.mjs')()
    assert.equal(status, 0)
    assert.match(stderr, /^shoal: the libraries of other platforms stay.*ENOTDIR/)
  })

  it('leaves a copy outside its own package alone', () => {
    const store = join(home(), 'store')
    const left = runtimeAt(store, [OWN, ...OTHERS])
    const root = join(home(), 'shoal')
    mkdirSync(join(root, 'node_modules'), { recursive: true })
    symlinkSync(store, join(root, 'node_modules', 'onnxruntime-node'), 'junction')
    assert.equal(packageWith(root, 'keep-own-platform.mjs')().status, 0)
    assert.deepEqual(left(), [OWN, ...OTHERS])
  })

  it('has nothing to do where onnxruntime-node is not', () => {
    assert.deepEqual(packageWith(home(), 'keep-own-platform.mjs')(), { status: 0, stderr: '' })
  })
})

describe('build', () => {
  const home = temporaryHome()
  const manifest = (scripts: Record<string, string>) =>
    writeText(join(home(), 'package.json'), JSON.stringify({ devDependencies: { compiler: '1' }, scripts }))
  const main = () => join(home(), 'dist', 'cli', 'main.js')

  it('keeps what is built where development dependencies are left out, and says so', () => {
    manifest({})
    writeText(main(), 'built')
    const { status, stderr } = packageWith(home(), 'build.mjs')()
    assert.equal(status, 0)
    assert.match(stderr, /^shoal: dist\/ stays as it was built before.*npm ci/)
    assert.equal(readFileSync(main(), 'utf8'), 'built')
  })

  it('says how to build where nothing is built', () => {
    manifest({})
    const { status, stderr } = packageWith(home(), 'build.mjs')()
    assert.equal(status, 0)
    assert.match(stderr, /nothing is built here.*npm ci/)
  })

  it('fails where the build fails', () => {
    manifest({ clean: 'node -e 0', build: 'node -e "process.exit(3)"' })
    mkdirSync(join(home(), 'node_modules', 'compiler'), { recursive: true })
    assert.equal(packageWith(home(), 'build.mjs')().status, 3)
  })
})
