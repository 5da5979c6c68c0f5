// What liars send instead of their pseudo-gradients: the attacks of the Byzantine literature, as the authors' code has them. All but those on their own text
// collude: they see what the honest send before they send.
import type { Random } from '../data/random.ts'
import { TrainingError } from '../errors.ts'
import { deltaNorm } from '../outer/index.ts'

/** One round as an attacker sees it. */
export interface Scene {
  /** What the honest nodes send, decoded; at least one. */
  good: readonly Float32Array[]
  /** What this attacker's own training made, where it trains; else zeros. */
  own: Float32Array
  /** All nodes, and those of them that lie. */
  nodes: number
  attackers: number
  /** Norm that no contribution may pass: it would be refused. */
  normMax: number
  random: Random
}

export interface Attack {
  readonly name: string
  /** What an attacker trains on before it lies: its text as it is, with its targets exchanged, or nothing. */
  readonly trainsOn: 'text' | 'flippedTargets' | null
  send(scene: Scene): Float32Array
}

/** How much louder than itself a loud attack would like to be (BTARD's code). The checks let less through. */
const LOUD = 1000
/** Stays below the limit whatever the codec makes of the values. */
const UNDER_LIMIT = 0.99

/** The names that `createAttack` knows; `ipm:EPSILON` besides. */
export const ATTACK_NAMES = ['signFlip', 'loudSignFlip', 'noise', 'loudNoise', 'labelFlip', 'alie', 'ipm', 'ipm:0.6', 'standstill'] as const

/** @throws TrainingError bad_attack */
export function createAttack(name: string): Attack {
  const [kind, setting] = name.split(':')
  switch (setting === undefined ? kind : `${kind}:`) {
    case 'signFlip':
      return { name, trainsOn: 'text', send: ({ own }) => scaled(own, -1) }
    case 'loudSignFlip':
      return { name, trainsOn: 'text', send: scene => loud(scaled(scene.own, -1), normOf(scene.own), scene) }
    case 'noise':
      return { name, trainsOn: null, send: scene => noise(scene, usualNorm(scene)) }
    case 'loudNoise':
      return { name, trainsOn: null, send: scene => loud(noise(scene, 1), usualNorm(scene), scene) }
    case 'labelFlip':
      return { name, trainsOn: 'flippedTargets', send: ({ own }) => own }
    case 'alie':
      return { name, trainsOn: null, send: alie }
    case 'ipm':
      return innerProduct(name, () => 0.1)
    // The mean of all is then zero.
    case 'standstill':
      return innerProduct(name, ({ nodes, attackers }) => (nodes - attackers) / attackers)
    case 'ipm:':
      if (Number(setting) > 0 && Number(setting) < 1e6) return innerProduct(name, () => Number(setting))
  }
  throw new TrainingError('bad_attack', `Cannot use the attack ${JSON.stringify(name)}`, {
    hint: `one of ${ATTACK_NAMES.join(', ')}, or ipm:EPSILON with a number above 0`
  })
}

/** Inner-product manipulation (Xie 2019): a little against what the honest agree on. */
function innerProduct(name: string, epsilon: (scene: Scene) => number): Attack {
  return { name, trainsOn: null, send: scene => scaled(momentsOf(scene.good).mean, -epsilon(scene)) }
}

/** "A little is enough" (Baruch 2019): as many deviations from the mean as still look like somebody honest. */
function alie({ good, nodes, attackers }: Scene): Float32Array {
  const { mean, deviation } = momentsOf(good)
  const z = alieDeviations(nodes, attackers)
  return mean.map((value, i) => value - z * deviation[i]!)
}

/** z: the attackers and the fewest honest that they need for a majority lie at or past it. */
export function alieDeviations(nodes: number, attackers: number): number {
  const needed = Math.floor(nodes / 2 + 1) - attackers
  return normalQuantile((nodes - attackers - needed) / (nodes - attackers))
}

/** Inverse of the normal distribution's function, by bisection of its series: exact to some 1e-9, which no attack needs. */
function normalQuantile(part: number): number {
  let [low, high] = [-8, 8]
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (normalPart(middle) < part) low = middle
    else high = middle
  }
  return (low + high) / 2
}

function normalPart(z: number): number {
  let term = z
  let sum = z
  for (let k = 1; k < 200; k++) {
    term *= (z * z) / (2 * k + 1)
    sum += term
  }
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI)
}

function momentsOf(vectors: readonly Float32Array[]): { mean: Float32Array; deviation: Float32Array } {
  const length = vectors[0]!.length
  const mean = new Float32Array(length)
  const deviation = new Float32Array(length)
  for (let i = 0; i < length; i++) {
    let sum = 0
    for (const vector of vectors) sum += vector[i]!
    const middle = sum / vectors.length
    let squares = 0
    for (const vector of vectors) squares += (vector[i]! - middle) ** 2
    mean[i] = middle
    deviation[i] = Math.sqrt(squares / vectors.length)
  }
  return { mean, deviation }
}

function noise({ good, random }: Scene, norm: number): Float32Array {
  const values = new Float32Array(good[0]!.length)
  for (let i = 0; i < values.length; i++)
    values[i] = Math.sqrt(-2 * Math.log(1 - random.fraction())) * Math.cos(2 * Math.PI * random.fraction())
  return scaled(values, norm / normOf(values))
}

/** In this direction, a thousand times as long as `norm`, or as long as the checks let through. */
function loud(direction: Float32Array, norm: number, { normMax }: Scene): Float32Array {
  const length = normOf(direction)
  return length === 0 ? direction : scaled(direction, Math.min(LOUD * norm, UNDER_LIMIT * normMax) / length)
}

/** The honest nodes' mean norm. */
function usualNorm({ good }: Scene): number {
  return good.reduce((sum, vector) => sum + normOf(vector), 0) / good.length
}

function normOf(values: Float32Array): number {
  return deltaNorm([{ values }])
}

function scaled(values: Float32Array, factor: number): Float32Array {
  return values.map(value => value * factor)
}
