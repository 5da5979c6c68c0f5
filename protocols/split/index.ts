// Split: notices that members of one run do not see one another any more, and names both sides. Nothing is asked of other nodes: what presence, history,
// the DHT and a call tell this node anyway is laid side by side (split.ts). Which branch wins when they meet is the round rule's business.
export {
  ASK_INTERVAL_MS,
  ASK_QUIET_INTERVAL_MS,
  ASK_TIMEOUT_MS,
  CALL_TIMEOUT_MS,
  LOOK_INTERVAL_MS,
  MAX_CALLS,
  RECENT_RECORDS,
  STALE_NAME_MS
} from './constants.ts'
export {
  absentPeers,
  advanceSplit,
  type Branch,
  createSplit,
  type Finding,
  findingSentence,
  type SplitCommand,
  type SplitState,
  type SplitView
} from './split.ts'
