// One copy of the rules put through the trials, in a process of its own: `node mutation-trial.js SEEDS`. Each trial in turn lives through one seed, then all through the next.
// Says before each what it begins, so that one that never ends can be named; ends with the first that is broken.
import { TRIALS } from './trials.ts'

const seeds = Number(process.argv[2] ?? 10)

for (let seed = 0; seed < seeds; seed++) {
  for (const { name, run } of TRIALS) {
    process.stdout.write(`${JSON.stringify({ trial: name, seed })}\n`)
    const [broken] = problems(run, seed)
    if (broken === undefined) continue
    process.stdout.write(`${JSON.stringify({ trial: name, seed, broken })}\n`)
    process.exit(1)
  }
}

function problems(run: (seed: number) => string[], seed: number): string[] {
  try {
    return run(seed)
  } catch (error) {
    return [`throws ${(error as Error).message}`]
  }
}
