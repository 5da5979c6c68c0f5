// What a node may do otherwise than a daemon does. A liar is an object with some of these; whatever it leaves out is done honestly.
import type { Contribution, RoundCommand, RoundRecord } from '../../protocols/rounds/index.ts'
import type { SimNode } from './node.ts'

/** What a node says of itself with presence and when asked for its head. */
export interface Told {
  head: string
  round: number
  trains: boolean
}

/** whole: what was asked for. nothing: "I do not have it", at once. wrong: bytes that do not match their name. silence: no word, for as long as one waits. */
export type Serving = 'whole' | 'nothing' | 'wrong' | 'silence'

export interface Conduct {
  /** Signs what is not valid by content on purpose: then others' refusals of records are as it should be. */
  readonly forges?: boolean
  /** What it signs instead of the honest contribution. `flawedBody` in names.ts makes a body that every check refuses. */
  contribution?(node: SimNode, honest: Contribution): Contribution
  /** Asked once when its contribution is told: which of the contributions on its disk each node is shown; null for none. */
  showsContribution?(node: SimNode, cid: string, contribution: Contribution): (to: SimNode) => string | null
  /** The same for a record that it closed. */
  showsRecord?(node: SimNode, cid: string, record: RoundRecord): (to: SimNode) => string | null
  /** What it tells `to` of itself. */
  tells?(node: SimNode, to: SimNode, honest: Told): Told
  /** What it says that it holds. */
  holds?(node: SimNode, honest: readonly string[]): readonly string[]
  /** What `to` gets when it asks; asked only for what is on the disk. */
  serves?(node: SimNode, to: SimNode, what: 'bodies' | 'anchors', name: string): Serving
  /** False: it is silent when it is its turn to close. */
  closes?(node: SimNode, command: Extract<RoundCommand, { type: 'close' }>): boolean
}

export const HONEST: Conduct = {}

/** One that does all of this; where two do the same otherwise, the later. */
export function together(...conducts: Conduct[]): Conduct {
  return Object.assign({}, ...conducts) as Conduct
}
