// Admission: how a run that is not open to everybody lets somebody in. Its manifest names inviters. An inviter signs a GRANT for a peer, good up to a round;
// the peer carries it in every contribution, so whether that counts is a matter of content, the same for all. An inviter grants to whoever shows the secret of
// an INVITATION that it handed out, to strangers that its operator admits by hand, and renews every inviter's grants before they end. Taking admission back is not
// renewing: nothing that was signed is undone, so who is sent away may stay until its grant ends.

export {
  GRANT_ROUNDS,
  GRANT_SLACK,
  MAX_INVITATION_LENGTH,
  MAX_INVITERS,
  MAX_INVITERS_ASKED,
  MAX_NAME_LENGTH,
  MAX_USES,
  RENEW_AT,
  SECRET_BYTES
} from './constants.ts'
export {
  type Candidate,
  type DeskCommand,
  type DeskEvent,
  type DeskState,
  decide,
  type Invitation,
  isUsable,
  openDesk
} from './deciding.ts'
export { decodeInvitation, encodeInvitation, type InvitationText, isInvitationText } from './invitation-text.ts'
export { type AdmissionAnswer, type AdmissionRequest, type Grant, openGrant, type SignedGrant, signGrant } from './messages.ts'
export { ADMISSION_REFUSALS, type AdmissionRefusal, isAdmissionRefusal } from './refusals.ts'
export { AdmissionService } from './service.ts'
