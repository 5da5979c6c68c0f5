// The worker thread's entry: answers one call at a time, so that memory is that of one. It opens the block files only, never the records.
import { parentPort, workerData } from 'node:worker_threads'
import { openBlockFiles } from '../../storage/index.ts'
import { anchorToSafetensors, bodyToSafetensors, safetensorsToAnchor } from './anchor-files.ts'
import type { Calls, WorkerReply, WorkerRequest } from './calls.ts'
import { packError } from './carried-error.ts'
import { checkContribution, KnownNorms } from './check-contribution.ts'
import { encodeContribution } from './encode-contribution.ts'
import { nextAnchor } from './next-anchor.ts'

if (parentPort === null) throw new Error('arithmetic-worker is started as a worker thread')
const port = parentPort
const reply = (message: WorkerReply): void => port.postMessage(message)

const blocks = await openBlockFiles((workerData as { home: string }).home)
blocks.onCorrupt(cid => reply({ type: 'corrupt', cid }))
const components = { blocks, norms: new KnownNorms() }
const cancels = new Map<number, AbortController>()
let queue: Promise<void> = Promise.resolve()

port.on('message', (message: WorkerRequest) => {
  if (message.type === 'cancel') {
    cancels.get(message.id)?.abort()
    return
  }
  const controller = new AbortController()
  cancels.set(message.id, controller)
  queue = queue.then(() => answer(message, controller.signal))
})

async function answer(call: Extract<WorkerRequest, { type: 'call' }>, signal: AbortSignal): Promise<void> {
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
    case 'anchorToSafetensors':
      return anchorToSafetensors(components, call.request, signal)
    case 'bodyToSafetensors':
      return bodyToSafetensors(components, call.request, signal)
    case 'safetensorsToAnchor':
      return safetensorsToAnchor(components, call.request, signal)
  }
}
