// Writes an anchor as a Hugging Face folder: config.json, model.safetensors and the tokenizer's files.
import { floatsOf, readSafetensorsFile, storedTensor, writeCheckpoint } from '../../storage/index.ts'
import { resolveTokenizer } from '../../training/data/resolve-tokenizer.ts'
import { toHuggingFace } from '../../training/models/huggingface/index.ts'
import { createModel } from '../../training/models/model.ts'
import type { Manifest } from '../manifest.ts'
import { answerOnce } from '../one-shot.ts'

export interface ExportRequest {
  /** The anchor's parameters, safetensors. */
  parametersFile: string
  model: Manifest['model']
  tokenizer: { kind: Manifest['tokenizer']['kind']; json: string | null }
  /** What is told of the run in shoal.json beside the others. */
  facts: Record<string, unknown>
  directory: string
}

answerOnce(async ({ parametersFile, model, tokenizer, facts, directory }: ExportRequest): Promise<{ files: string[] }> => {
  const { tensors } = await readSafetensorsFile(parametersFile)
  const parameters = tensors.map(tensor => ({ name: tensor.name, shape: [...tensor.shape], values: floatsOf(tensor) }))
  const { kind, json } = tokenizer
  const resolved = await resolveTokenizer(json === null ? { kind } : { kind, json }, () => [])
  const exported = toHuggingFace(createModel(model), parameters)
  const end = resolved.endOfText
  const files = { ...resolved.files(), 'shoal.json': `${JSON.stringify(facts, null, 2)}\n` }
  await writeCheckpoint(directory, {
    // Without these, transformers takes GPT-2's 50256, which a small vocabulary does not have.
    config: { ...exported.config, bos_token_id: end, eos_token_id: end },
    tensors: exported.tensors.map(({ name, shape, values }) => storedTensor(name, shape, values)),
    files
  })
  return { files: ['config.json', 'model.safetensors', ...Object.keys(files)].sort() }
})
