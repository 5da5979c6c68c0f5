// Identity: notices that one key lives in two processes at once, a home copied or a backup restored while the first still runs. libp2p refuses to dial
// its own id and takes two such nodes for one, so neither hears of the other; whoever is connected with both asks each over its own connection who it is,
// and tells both what it found. The word of one peer is enough to warn somebody, and for nothing else.
//
// messages.ts is the wire, twins.ts the rule. The connections themselves are the node's (daemon/node-twins.ts).
export { MAX_ADDRESSES, MAX_CONNECTIONS_ASKED, MAX_WHO_BYTES, TWINS_INTERVAL_MS, WHO_TIMEOUT_MS, whoProtocol } from './constants.ts'
export { decodeAnswer, decodeQuestion, encodeAnswer, encodeQuestion, type Who } from './messages.ts'
export { advanceTwins, createTwins, type Twin, type TwinsEvent, type TwinsState } from './twins.ts'
