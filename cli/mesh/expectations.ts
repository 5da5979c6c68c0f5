// Whether what a scenario expects holds, judged from what the run left. Pure.
import type { ReportExpectation, ReportHeldOut } from './report.ts'
import type { Expectation, Step } from './scenario.ts'

export interface Outcome {
  /** Heads of the nodes that are alive and have not left, by index, after the time to settle. */
  heads: { index: number; head: string | null; anchor: string | null }[]
  heldOut: ReportHeldOut | null
  /** Steps that were never due. */
  stepsLeft: Step[]
}

/** One row for each expectation, and one for steps that never came: a scenario whose fault did not happen has shown nothing. */
export function judgeExpectations(expect: Expectation[], outcome: Outcome): ReportExpectation[] {
  const rows = expect.map(expectation => judge(expectation, outcome))
  if (outcome.stepsLeft.length > 0) {
    rows.push({ name: 'stepsDone', ok: false, got: outcome.stepsLeft.map(step => ({ ...step })), want: 'every step done' })
  }
  return rows
}

function judge(expectation: Expectation, { heads, heldOut }: Outcome): ReportExpectation {
  switch (expectation.name) {
    case 'equalAnchors': {
      const known = heads.map(({ head, anchor }) => (head === null || anchor === null ? null : `${head} ${anchor}`))
      const ok = known.length > 0 && known[0] !== null && known.every(text => text === known[0])
      return { name: expectation.name, ok, got: Object.fromEntries(heads.map(({ index, anchor }) => [index, anchor])), want: 'one head' }
    }
    case 'heldOutBelow': {
      const got = heldOut?.mesh ?? null
      return { name: expectation.name, ok: got !== null && got < expectation.limit, got, want: expectation.limit }
    }
    case 'meshBelowAlone': {
      const got = heldOut?.mesh ?? null
      const want = heldOut?.alone == null ? null : Math.min(...heldOut.alone)
      return { name: expectation.name, ok: got !== null && want !== null && got < want, got, want }
    }
  }
}
