// Judges a checkpoint through the daemon's public face, which is loaded at the first question: it brings the whole training code with it.
import type { Judge } from './mesh-run.ts'

/** What the sample continues. */
const PROMPT = 'The people of the United States '
const SAMPLE_TOKENS = 160

export function loadJudge(): Judge {
  const face = () => import('../../daemon/index.ts')
  return {
    async heldOut(directory, signal) {
      const { builtinEras, evaluateCheckpoint } = await face()
      const groups = (await builtinEras()).map(era => era.heldOut)
      return (await evaluateCheckpoint(directory, groups, { signal })).map(result => result.natsPerByte)
    },
    async sample(directory, signal) {
      const { generateFromCheckpoint } = await face()
      const text = await generateFromCheckpoint(directory, { prompt: PROMPT, tokens: SAMPLE_TOKENS, seed: 1, signal })
      return (PROMPT + text).replaceAll('\n', ' ')
    }
  }
}
