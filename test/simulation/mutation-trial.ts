// One copy of the rules put through the trials, in a process of its own: `node mutation-trial.js SEEDS [FIRST]`. Each trial in turn lives through one seed, then all through the next; the one called FIRST goes through all of its seeds before, those first that once failed.
// Says before each what it begins, so that one that never ends can be named; ends with the first that is broken.
import { TRIALS, type Trial } from './trials.ts'

const seeds = Number(process.argv[2] ?? 10)
const first = process.argv[3]

for (const { name, run, seed } of turns()) {
  process.stdout.write(`${JSON.stringify({ trial: name, seed })}\n`)
  const [broken] = problems(run, seed)
  if (broken === undefined) continue
  process.stdout.write(`${JSON.stringify({ trial: name, seed, broken })}\n`)
  process.exit(1)
}

function* turns(): Generator<Trial & { seed: number }> {
  for (const trial of TRIALS)
    if (trial.name === first) for (const seed of new Set([...(trial.kept ?? []), ...Array(seeds).keys()])) yield { ...trial, seed }
  for (let seed = 0; seed < seeds; seed++) for (const trial of TRIALS) if (trial.name !== first) yield { ...trial, seed }
}

function problems(run: (seed: number) => string[], seed: number): string[] {
  try {
    return run(seed)
  } catch (error) {
    return [`throws ${(error as Error).message}`]
  }
}
