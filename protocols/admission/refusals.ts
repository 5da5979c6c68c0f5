// Why an inviter does not let a node in: stable codes with a sentence each, the same at both ends.

export const ADMISSION_REFUSALS = {
  not_admitted: 'The inviter has refused this node.',
  admission_revoked: "The inviter has taken this node's admission back.",
  invitation_unknown: 'The inviter does not know this invitation.',
  invitation_expired: 'The invitation has expired.',
  invitation_used_up: 'The invitation has been used as often as it may be.',
  invitation_revoked: 'The inviter has taken the invitation back.',
  invitation_for_another: 'The invitation is for another peer.',
  not_an_inviter: 'That node may not, or cannot now, let others into this run.',
  too_many_requests: 'This node asked too often, or too many strangers wait already.'
} as const satisfies { [code: string]: string }

export type AdmissionRefusal = keyof typeof ADMISSION_REFUSALS

export function isAdmissionRefusal(code: string): code is AdmissionRefusal {
  return Object.hasOwn(ADMISSION_REFUSALS, code)
}
