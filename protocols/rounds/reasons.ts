// Why something was refused, came late or had to wait: stable codes with a sentence each. `shoal why` answers from them.

/**
 * `content` reasons are the same for everybody who has the same bytes, so a record that lists such a contribution is invalid. All others depend on when and where: what is refused so today may still be part of a record.
 */
export const REASONS = {
  // contributions, by content
  bad_message: { content: true, sentence: 'The bytes could not be decoded as what they claim to be.' },
  bad_signature: { content: true, sentence: 'The signature is not that of the peer named in it.' },
  wrong_run: { content: true, sentence: 'It belongs to another run.' },
  not_admitted: {
    content: true,
    sentence: 'This run does not admit its author: not on its list, or without an invitation that holds for that round.'
  },
  shape_mismatch: { content: true, sentence: "Its tensors do not have the model's names and shapes." },
  non_finite: { content: true, sentence: 'It contains values that are not finite numbers.' },
  norm_too_large: { content: true, sentence: 'Its change is larger than this run allows.' },
  bad_body: { content: true, sentence: 'Its body is not a list of stages, tensors and chunks as the format has it.' },
  norm_mismatch: { content: true, sentence: 'Its change is not as large as it states.' },
  bad_codec_bytes: { content: true, sentence: "Its bytes are not what the run's codec writes." },
  wrong_codec: { content: true, sentence: "It was written with another codec than the run's." },
  body_too_large: { content: true, sentence: 'Its body is larger than the model allows.' },
  too_many_steps: { content: true, sentence: 'It claims more steps than the run lets a node take between two contributions.' },
  tokens_mismatch: { content: true, sentence: 'It claims another number of tokens than its steps have.' },
  wrong_round: { content: true, sentence: "Its round does not follow its parent's." },
  // contributions, by time and place
  stale_round: { content: false, sentence: 'It was made for a round that closed too long ago to count.' },
  too_far_ahead: { content: false, sentence: 'It was made for a round far ahead of what this node has seen.' },
  late: { content: false, sentence: 'It came after its round had closed; it may enter the next one, discounted.' },
  norm_cut: {
    content: false,
    sentence: 'Its change was larger by far than what most sent, and counted as so much of it as the run allows.'
  },
  left_out: { content: false, sentence: 'The closer of its round did not count it.' },
  duplicate_author: { content: false, sentence: 'Its author already has a contribution to that round.' },
  too_many_contributions: {
    content: false,
    sentence: 'Its author, or all authors together, have more open contributions than this node keeps.'
  },
  fetch_timeout: { content: false, sentence: 'Its bytes could not be had in time; this node goes on asking.' },
  wrong_bytes: { content: false, sentence: 'A peer sent bytes that do not match their hash.' },
  disk_full: { content: false, sentence: 'This node has no room to store it.' },
  // records
  wrong_order: { content: true, sentence: 'The record does not list its contributions by author and round.' },
  below_quorum: { content: true, sentence: "The record has fewer contributors than the run's quorum." },
  closer_unranked: { content: true, sentence: 'The closer is neither an author of recent rounds nor of this record.' },
  bad_contribution: { content: true, sentence: 'The record lists a contribution that is invalid or does not belong there.' },
  bad_parent: { content: true, sentence: "The record's parent is invalid." },
  anchor_mismatch: { content: true, sentence: "The record's anchor is not what its contributions make of the parent's." },
  record_unavailable: {
    content: false,
    sentence: "The record's parts could not be had in time; it is left out of the choice until they can."
  },
  closed_early: {
    content: false,
    sentence: 'The record closed its round before all who train had given; it is followed at the deadline, unless a heavier one comes.'
  },
  closed_late: {
    content: false,
    sentence:
      'The record came after its round had ended here with another; it is followed when most members are on it, or if it is still preferred after a deadline.'
  },
  too_many_records: { content: false, sentence: 'Its closer, or all together, have signed more records than this node keeps.' },
  fork_too_old: { content: false, sentence: 'A peer is on a branch that parted from ours longer ago than this node remembers.' },
  // this node
  fork_switched: { content: false, sentence: 'Another branch proved heavier; this node moved to it.' },
  rival_proposed: { content: false, sentence: 'A closer left out what this node held in time, so this node proposed a record with it.' },
  superseded: { content: false, sentence: 'Another record was preferred to the one that this node closed.' },
  peer_silent: {
    content: false,
    sentence: 'A training peer gave nothing by the deadline; the next rounds do not wait for it until it does.'
  },
  waiting_for_quorum: {
    content: false,
    sentence: 'Fewer contributors than the quorum can be seen; training goes on to its leash, then waits.'
  },
  gap_in_timers: { content: false, sentence: 'This node was stopped or asleep; it asks for the newest records before it closes anything.' },
  joined_by_anchor: {
    content: false,
    sentence: "This node took a recent anchor from others; the history before it rests on its records' signers."
  },
  close_failed: { content: false, sentence: 'This node could not close the round; it tries again.' }
} as const satisfies { [code: string]: { content: boolean; sentence: string } }

export type ReasonCode = keyof typeof REASONS

export function isReasonCode(text: string): text is ReasonCode {
  return Object.hasOwn(REASONS, text)
}
