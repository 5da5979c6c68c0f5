// Looks at one contribution: the loss of an anchor and of the same with the change in it, on text of this node, which its author did not train on where each has its own. Gives way to the trainer.
import { setPriority } from 'node:os'
import { floatsOf, readSafetensorsFile } from '../../storage/index.ts'
import { parseBuiltinName } from '../../training/data/builtin-corpus.ts'
import { resolveTokenizer } from '../../training/data/resolve-tokenizer.ts'
import { openEngine } from '../../training/engines/engine.ts'
import { evaluate } from '../../training/evaluation.ts'
import { createModel } from '../../training/models/model.ts'
import { builtinEras, readCorpora } from '../corpora.ts'
import type { Manifest } from '../manifest.ts'
import { answerOnce } from '../one-shot.ts'

export interface AuditRequest {
  /** Parameters of the anchor that the contribution was made from, and its decoded change (anchor - local), safetensors. */
  anchorFile: string
  changeFile: string
  model: Manifest['model']
  tokenizer: { kind: Manifest['tokenizer']['kind']; json: string | null }
  /** As a trainer has them; of the built-in text the held-out part is taken. */
  sources: string[]
  /** Of this process, as the system counts it: 0 is like any other, 19 gives way to all. */
  niceness: number
}

export interface AuditResult {
  /** Nats a token, and tokens scored. */
  before: number
  after: number
  tokens: number
}

/** Windows scored, and sequences at once: some thousand tokens tell a change that does harm from one that does none. */
const WINDOWS = 64
const BATCH = 8
/** Characters of text that are read, in so many pieces: tokenizing more would take longer than scoring. */
const TEXT_CHARACTERS = 256 * 1024
const PIECES = 64

answerOnce(async (request: AuditRequest): Promise<AuditResult> => {
  setPriority(request.niceness)
  const { kind, json } = request.tokenizer
  const tokenizer = await resolveTokenizer(json === null ? { kind } : { kind, json }, () => [])
  const texts = piecesOf(await textsOf(request.sources))
  const model = createModel(request.model)
  const anchor = await tensorsOf(request.anchorFile)
  const change = new Map((await tensorsOf(request.changeFile)).map(({ name, values }) => [name, values]))
  const engine = await openEngine('auto', { threads: 1 })
  try {
    const { context } = model.config
    const forward = await engine.compileForward(model, { batch: BATCH, context })
    const lossOf = async (parameters: typeof anchor) => {
      await forward.load(parameters)
      return evaluate({ forward, tokenizer, texts, context, batch: BATCH, maxWindows: WINDOWS })
    }
    const before = await lossOf(anchor)
    const after = await lossOf(
      anchor.map(tensor => {
        const by = change.get(tensor.name)
        return by === undefined ? tensor : { ...tensor, values: tensor.values.map((value, i) => value - by[i]!) }
      })
    )
    return { before: before.natsPerToken, after: after.natsPerToken, tokens: before.tokens }
  } finally {
    await engine.dispose()
  }
})

/** Text of this node's own, which the authors of others' contributions never saw; where it has none, the built-in text. */
async function textsOf(sources: string[]): Promise<string[]> {
  const own = sources.filter(source => parseBuiltinName(source) === null)
  return own.length > 0 ? readCorpora(own) : builtinEras().flatMap(era => era.heldOut)
}

/** Pieces from all over the texts, the same ones each time. */
function piecesOf(texts: string[]): string[] {
  const whole = texts.reduce((sum, text) => sum + text.length, 0)
  if (whole <= TEXT_CHARACTERS) return texts
  const joined = texts.join('\n')
  const stride = Math.floor(joined.length / PIECES)
  return Array.from({ length: PIECES }, (_, i) => joined.slice(i * stride, i * stride + TEXT_CHARACTERS / PIECES))
}

async function tensorsOf(file: string): Promise<{ name: string; shape: number[]; values: Float32Array }[]> {
  const { tensors } = await readSafetensorsFile(file)
  return tensors.map(tensor => ({ name: tensor.name, shape: [...tensor.shape], values: floatsOf(tensor) }))
}
