// Sync: newcomers and returners ask where a run stands. A peer answers with its newest record and with the chain that leads there, as CIDs; the records,
// the contributions and the manifest are blocks and are fetched as such, from whoever has them. Nothing an answer says is believed: every record is signed
// and checked when it is opened, and the choice between chains is the rounds' rule.
export { MAX_CHAIN, NEWCOMER_ASKS } from './constants.ts'
export type { Head } from './messages.ts'
export { type ChainSource, type SyncComponents, type SyncOptions, type SyncPace, SyncService } from './service.ts'
