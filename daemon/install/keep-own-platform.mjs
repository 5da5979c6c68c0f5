// What npm runs after an install. onnxruntime-node brings the libraries of every platform, 288 MB, of which one machine can load 25 to 86: the
// others are removed. Only inside this package's own folder: a copy that other packages may share is not ours to change. Nothing depends on this
// having run (--ignore-scripts, a read-only store); a folder carried to another kind of machine wants `npm ci` there.
import { readdirSync, realpathSync, rmSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

const root = realpathSync(join(import.meta.dirname, '..', '..'))

try {
  const binaries = realpathSync(join(root, 'node_modules', 'onnxruntime-node', 'bin'))
  if (relative(root, binaries).startsWith(`node_modules${sep}`)) keepOnly(binaries, process.platform, process.arch)
} catch (error) {
  // Not installed here, or not to be written: then everything stays, and works. It only saves room, so nothing that happens here may fail an install.
  if (!['ENOENT', 'EACCES', 'EPERM', 'EROFS', 'EBUSY'].includes(error.code))
    console.error(`shoal: the libraries of other platforms stay in onnxruntime-node: ${error.message}`)
}

/** The folders are bin/ABI/PLATFORM/ARCHITECTURE; an ABI without this machine's is left whole. */
function keepOnly(binaries, platform, architecture) {
  for (const abi of foldersIn(binaries)) {
    const found = foldersIn(join(binaries, abi)).flatMap(os => foldersIn(join(binaries, abi, os)).map(cpu => join(os, cpu)))
    const own = join(platform, architecture)
    if (!found.includes(own)) continue
    for (const other of found.filter(folder => folder !== own)) rmSync(join(binaries, abi, other), { recursive: true })
  }
}

/** Names; what lies beside the folders, such as a .DS_Store, is nobody's library. */
function foldersIn(path) {
  return readdirSync(path, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(({ name }) => name)
}
