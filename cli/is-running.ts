// Whether a process still runs. One that has ended keeps its number until its parent has asked how, which the first process of many a container never does.
import { readFile } from 'node:fs/promises'
import { isAlive } from '../protocols/control/index.ts'

export async function isRunning(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false
  // Linux: PID (NAME) STATE ..., and the name may hold anything. Elsewhere there is no such file.
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat.at(stat.lastIndexOf(')') + 2) !== 'Z'
}
