// All who lie in a big storm. To add one: a conduct in a file beside this, and a line here.
import type { Conduct } from '../conduct.ts'
import { copying } from './copying.ts'
import { closingTwice, equivocating } from './equivocating.ts'
import { givingNothingFrom } from './giving-nothing.ts'
import { claimingSteps, claimingTokens, givingRubbishFrom } from './giving-rubbish.ts'
import { namingNewHeads, namingOneHead } from './naming-nothing.ts'
import { notClosing } from './not-closing.ts'
import { pretending } from './pretending.ts'
import { servingWrongBytes } from './serving-wrong-bytes.ts'
import { givingStale, replaying } from './stale.ts'
import { withholding } from './withholding.ts'

export const LIARS: readonly { readonly name: string; readonly conduct: Conduct }[] = [
  { name: 'serves wrong bytes', conduct: servingWrongBytes },
  // One flaw after the other: not finite, of another shape, too large ...
  { name: 'gives rubbish', conduct: givingRubbishFrom(1) },
  { name: 'gives stale work', conduct: givingStale },
  { name: 'gives the same again', conduct: replaying },
  { name: 'gives nothing', conduct: givingNothingFrom(1) },
  { name: 'copies', conduct: copying },
  { name: 'claims any number of tokens', conduct: claimingTokens },
  { name: 'claims any number of steps', conduct: claimingSteps },
  { name: 'signs two of everything', conduct: equivocating },
  { name: 'shows two records', conduct: closingTwice },
  { name: 'never closes', conduct: notClosing },
  { name: 'withholds blocks', conduct: withholding },
  { name: 'pretends to hold', conduct: pretending },
  { name: 'names a head that is not', conduct: namingOneHead },
  { name: 'names ever new heads', conduct: namingNewHeads }
]
