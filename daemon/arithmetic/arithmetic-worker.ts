// The worker thread's entry: answers one call at a time, so that memory is that of one. It opens the block files only, never the records.
import { parentPort, workerData } from 'node:worker_threads'
import { openBlockFiles } from '../../storage/index.ts'
import { anchorToSafetensors, bodyToSafetensors, safetensorsToAnchor } from './anchor-files.ts'
import type { Calls, WorkerReply, WorkerRequest } from './calls.ts'
import { packError } from './carried-error.ts'
import { checkContribution, KnownNorms, normMax } from './check-contribution.ts'
import { encodeContribution } from './encode-contribution.ts'
import { nextAnchor } from './next-anchor.ts'

if (parentPort === null) throw new Error('arithmetic-worker is started as a worker thread')
const port = parentPort
const reply = (message: WorkerReply): void => port.postMessage(message)

const blocks = await openBlockFiles((workerData as { home: string }).home)
blocks.onCorrupt(cid => reply({ type: 'corrupt', cid }))
const components = { blocks, norms: new KnownNorms() }
const cancels = new Map<number, AbortController>()

type Call = Extract<WorkerRequest, { type: 'call' }>
/** What waits, by rank. */
const waiting: [others: Call[], checks: Call[], strangersChecks: Call[]] = [[], [], []]
let isAnswering = false

port.on('message', (message: WorkerRequest) => {
  if (message.type === 'cancel') {
    cancels.get(message.id)?.abort()
    return
  }
  cancels.set(message.id, new AbortController())
  waiting[rankOf(message)].push(message)
  if (!isAnswering) void answerAll()
})

function rankOf(call: Call): 0 | 1 | 2 {
  if (call.name !== 'checkContribution') return 0
  return call.request.isStrangers === true ? 2 : 1
}

async function answerAll(): Promise<void> {
  isAnswering = true
  const next = (): Call | undefined => waiting.find(calls => calls.length > 0)?.shift()
  for (let call = next(); call !== undefined; call = next()) await answer(call)
  isAnswering = false
}

async function answer(call: Call): Promise<void> {
  const { signal } = cancels.get(call.id)!
  try {
    signal.throwIfAborted()
    reply({ type: 'result', id: call.id, result: await perform(call, signal) })
  } catch (error) {
    reply({ type: 'error', id: call.id, error: packError(error) })
  } finally {
    cancels.delete(call.id)
  }
}

function perform(call: Extract<WorkerRequest, { type: 'call' }>, signal: AbortSignal): Promise<Calls[keyof Calls]['result']> {
  switch (call.name) {
    case 'encodeContribution':
      return encodeContribution(components, call.request, signal)
    case 'nextAnchor':
      return nextAnchor(components, call.request, signal)
    case 'checkContribution':
      return checkContribution(components, call.request, signal)
    case 'normMax':
      return normMax(components, call.request, signal)
    case 'anchorToSafetensors':
      return anchorToSafetensors(components, call.request, signal)
    case 'bodyToSafetensors':
      return bodyToSafetensors(components, call.request, signal)
    case 'safetensorsToAnchor':
      return safetensorsToAnchor(components, call.request, signal)
  }
}
