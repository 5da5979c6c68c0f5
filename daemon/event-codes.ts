// What the codes of the event log say that are not reasons of rounds or of admission: a sentence each, for `shoal why CODE`.
import { ADMISSION_REFUSALS, isAdmissionRefusal } from '../protocols/admission/index.ts'
import { isReasonCode, REASONS } from '../protocols/rounds/reasons.ts'

const EVENT_CODES: { [code: string]: string } = {
  // peers
  peer_joined: 'A peer is here: it was heard of for the first time, or again.',
  peer_left: 'A peer said goodbye.',
  peer_silent: 'A peer that was here has not been heard of for longer than presence allows.',
  peer_unreachable: 'No stream to the peer could be opened, or it broke off.',
  peer_crowded_out:
    'More peers speak than a node can remember; this stranger made room for one that a run has accepted or that is connected.',
  identity_twice: "This node's identity lives in two processes: others take them for one, and both for a liar.",
  peer_identity_twice: 'The identity of a peer lives in two processes.',
  clock_skew: "This machine's clock differs from the mesh's; no round depends on it.",
  peer_clock_skew: "A peer's clock differs from the mesh's; no round depends on it.",
  clock_gap: 'Nothing ran here for a while: the machine slept, was stopped or had too much to do.',
  no_peers: 'No other node is in sight.',
  // what others do wrong on the wire
  message_too_large: 'A message or frame was longer than any of its kind may be; it was not read.',
  version_mismatch: 'A peer speaks another version of a protocol than this node; one of the two needs an update.',
  other_network: 'A node of another mesh called, or was called, and was sent away.',
  rate_limited: 'A peer says or asks more than it may: what is too much is dropped.',
  too_many_streams:
    'A peer has as many streams of a protocol open as one may, or all places were taken and it, or its address, had most: one was ended.',
  too_many_connections: 'A peer opened more connections than one may: the newest was closed.',
  connections_full: 'All places for connections are taken: nobody else can call this node.',
  origin_full: 'Callers from one address hold all places that one may have: nobody else there can call this node.',
  peer_stalled:
    'A peer said nothing, or next to nothing, for as long as this node waits, on a stream that it opened or when it was asked; or it read nothing of what it was told.',
  block_missing: 'A block that should be here is not: it went between the moment it was fetched and the moment it was needed.',
  block_unavailable: 'Nobody who was asked gave a block in time; it is asked for again where it is still needed.',
  history_learned:
    'A run is far ahead of this node, which is new to it or was away for long: its history is learned before its newest round.',
  history_too_long: 'A run is further on than a node can learn: one that is new to it, or was away for so long, cannot follow.',
  bad_chain: 'Records that a peer showed do not lead back to the run by its rules.',
  // trust
  peer_probation: 'This node trusts a peer less: no round waits for it here, until what it did has faded.',
  peer_banned:
    'This node is done with a peer: no connection is taken, and none of its work counted here, until the ban ends or `shoal unban`.',
  peer_good: 'A peer is trusted again: what it did has faded, its ban is over, or the operator said so.',
  accused: 'Another member holds something against this node: look at its disk, clock and version.',
  audit_failed: "An audit came to no verdict, and that is nobody's fault: what it needed was not here, or the anchor itself has no loss.",
  audit_harmful: 'A contribution, tried by this node on text, made the loss worse by more than an audit forgives.',
  // the mesh
  mesh_split: 'Members of a run do not see one another, or some are on another branch: the event names who is here and who is missing.',
  mesh_healed: 'Members who were missed are here again, left the run, or are not heard of any more.',
  round_slow: 'A round took longer than its deadline; the event names who was silent and what could not be had.',
  // our own contributions
  contribution_offered: 'A contribution of this node is on disk and told to all.',
  contribution_included: 'A contribution of this node is in the record of its round, or of the next.',
  contribution_late: "A contribution of this node came after its round's record; it may enter the next, discounted.",
  contribution_lost: 'A contribution of this node is in neither of the records that could have taken it.',
  contribution_restored: 'Work of this node that no record took is in its local model again, and part of its next contribution.',
  contribution_dropped: 'A contribution of this node counts no more: its work is in the local model, or is lost (`isGone`).',
  // blocks and the disk
  block_corrupted: 'A block was damaged on disk: it is set aside and fetched again.',
  block_repaired: 'A damaged block was fetched again and is whole.',
  block_not_repaired: 'A damaged block could not be fetched again yet; it is tried for a day, also whenever a peer comes.',
  trainer_state_damaged: "The trainer's state on disk cannot be gone on from; training starts from the newest anchor.",
  // the trainer
  engine_crashed: 'The trainer ended by a signal or an error of its engine; it is started again.',
  engine_out_of_memory: 'The trainer ran out of memory; it is started again.',
  engine_hung: 'The trainer said nothing for minutes and was killed; it is started again.',
  engine_failed: 'An engine could not be opened or gave no numbers; the next that works is tried.',
  engine_fallback: 'An engine was given up after it had failed again and again; another one goes on.',
  no_engine: 'No engine is left to train with: the run is paused until `shoal run resume RUN`.',
  non_finite_delta: 'Work that was to be put back holds what is not a finite number, and cannot be.',
  arithmetic_crashed: 'The process that sums and checks contributions ended; the next sum starts another.',
  trainer_failed: 'The trainer failed by itself; it is started again.',
  // runs
  admission_pending:
    'Who asks to take part in a run has no answer yet: it asks again, until an inviter decides by `shoal run admit` or `shoal run refuse`.',
  peer_admitted: 'A peer was let into a run by invitation.',
  join_failed: 'A run could not be joined.',
  run_failed: 'A run could not be taken up.',
  not_allowed: 'The manifest names who may take part, and this node is not among them; or this node takes part in no run.',
  run_too_large: 'What a manifest names is larger than its model, or than any file of its kind may be; nothing of it was fetched.',
  manifest_damaged: "A run's description on disk cannot be read any more.",
  genesis_unusable: 'What a run is to begin with cannot be used: a tensor or the tokenizer is missing, or a tensor has another shape.',
  bad_anchor: "An anchor does not have the tensors of the run's first, or not the outer state that the run's strategy keeps.",
  not_enough_memory: 'The run needs more memory than this machine has.',
  data_missing: "The run trains on each member's own text, and none was named here.",
  data_unreadable: 'A file of text cannot be read.',
  bad_corpus: 'What is to be trained on is no text that a trainer can read.',
  corpus_empty: 'What is to be trained on has no text in it.',
  corpus_too_small: "What is to be trained on has fewer tokens than one of the run's contexts needs.",
  corpus_too_large: 'What is to be trained on is more than a trainer takes.',
  invalid_utf8: 'What is to be trained on is not UTF-8.',
  bad_json_line: 'A line of what is to be trained on is not the JSON that it should be.',
  bad_tokenizer: "The run's tokenizer cannot be used.",
  stopping: 'The daemon, or this run in it, was being stopped meanwhile.',
  internal: 'Something failed here that no code is for: the message says what, and it is a fault of the daemon.',
  unknown_run: 'Nobody reachable knows the run; it is looked for as long as the daemon runs.',
  port_taken: 'A port that was wished for is taken by another program.'
}

/** What a code says; one that stands for two things says both. Null for what is none. */
export function meaningOf(code: string): string | null {
  const said = [
    ...(isReasonCode(code) ? [REASONS[code].sentence] : []),
    ...(isAdmissionRefusal(code) ? [ADMISSION_REFUSALS[code]] : []),
    ...(Object.hasOwn(EVENT_CODES, code) ? [EVENT_CODES[code]!] : [])
  ]
  return said.length === 0 ? null : said.join(' Or: ')
}
