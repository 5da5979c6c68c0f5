// The rule of an upload cap: (state, event, now) -> how long blocks must wait. Everything that a node sends is charged; only blocks wait for it, so that
// facts are never late on account of bodies. No clock, timer or socket. The state is the caller's and is changed.

/** What may leave at once after a quiet time, as seconds of the rate: long enough for a timer that comes late, too short to fill a modem's queue. */
const BURST_SECONDS = 0.5
/** Frames a second that blocks are cut into: each stream gets its turn often enough not to be taken for silent. */
const FRAMES_PER_SECOND = 16
/** Bytes: smaller frames would be mostly their own headers. */
const FRAME_BYTES_MIN = 1024
/** Seconds of the rate that facts may be ahead of it; beyond that they exceed the cap by themselves, and blocks get what is left after so long. */
const DEBT_SECONDS = 4

export interface UploadState {
  readonly bytesPerSecond: number
  /** Bytes that may leave now; below 0 while more has left than the rate allows. */
  room: number
  /** Bytes of blocks that were let through and have not left yet: charged already. */
  reserved: number
  atMs: number
}

/** @param nowMs monotonic milliseconds */
export function createUpload(bytesPerSecond: number, nowMs: number): UploadState {
  return { bytesPerSecond, room: burstOf(bytesPerSecond), reserved: 0, atMs: nowMs }
}

/** Bytes of the frames that blocks are sent in under this cap, at most `most`. */
export function pacedFrameBytes(bytesPerSecond: number, most: number): number {
  return Math.max(FRAME_BYTES_MIN, Math.min(most, Math.floor(bytesPerSecond / FRAMES_PER_SECOND)))
}

/** Bytes of any kind left this node. */
export function bytesLeft(state: UploadState, bytes: number, nowMs: number): void {
  refill(state, nowMs)
  const charged = Math.min(state.reserved, bytes)
  state.reserved -= charged
  state.room = Math.max(state.room - (bytes - charged), -DEBT_SECONDS * state.bytesPerSecond)
}

/** Bytes of a block want to leave. @returns 0 where they may, and are charged; else the milliseconds after which to ask again */
export function askToSend(state: UploadState, bytes: number, nowMs: number): number {
  refill(state, nowMs)
  // A frame larger than the burst leaves when the burst is whole, and is paid for afterwards.
  const wanted = Math.min(bytes, burstOf(state.bytesPerSecond))
  if (state.room < wanted) return Math.max(1, Math.ceil(((wanted - state.room) * 1000) / state.bytesPerSecond))
  state.room -= bytes
  state.reserved += bytes
  return 0
}

function refill(state: UploadState, nowMs: number): void {
  const earned = (Math.max(0, nowMs - state.atMs) * state.bytesPerSecond) / 1000
  state.room = Math.min(state.room + earned, burstOf(state.bytesPerSecond))
  state.atMs = nowMs
}

function burstOf(bytesPerSecond: number): number {
  return Math.max(FRAME_BYTES_MIN, bytesPerSecond * BURST_SECONDS)
}
