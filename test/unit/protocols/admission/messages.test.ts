import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import {
  decodeInvitation,
  encodeInvitation,
  type Grant,
  isInvitationText,
  openGrant,
  SECRET_BYTES,
  signGrant
} from '../../../../protocols/admission/index.ts'
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  decodeAdmissionAnswer,
  decodeAdmissionRequest,
  encodeAdmissionAnswer,
  encodeAdmissionRequest,
  encodeGrant
} from '../../../../protocols/admission/messages.ts'
import { cidOf, DAG_CBOR, parseCid } from '../../../../protocols/cids.ts'
import { signBlock } from '../../../../protocols/signed-block.ts'

const RUN = cidOf(new Uint8Array([1]), DAG_CBOR)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('messages of admission', () => {
  let key: PrivateKey
  let inviter: string
  let peer: string
  let grant: Grant
  before(async () => {
    key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
    inviter = peerIdFromPrivateKey(key).toString()
    peer = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(8))).toString()
    grant = { run: RUN, peer, inviter, untilRound: 192 }
  })

  it('a grant keeps its bytes', async () => {
    const { bytes } = await signGrant(grant, key)
    assert.equal(hex(encodeGrant(grant)), GOLDEN.grant)
    assert.equal(cidOf(bytes, DAG_CBOR), GOLDEN.grantCid)
    assert.deepEqual(await openGrant(bytes), { ...grant, bytes })
    assert.ok(bytes.byteLength < 400, `${bytes.byteLength} bytes in every contribution`)
  })

  it('openGrant() refuses a signature of another kind, a changed grant and fields out of bounds', async () => {
    const { bytes } = await signGrant(grant, key)
    const { payload, signature } = dagCbor.decode(bytes) as { payload: Uint8Array; signature: Uint8Array }
    const longer = dagCbor.encode({ payload: encodeGrant({ ...grant, untilRound: 193 }), signature })
    await assert.rejects(openGrant(longer), { code: 'bad_signature' })
    const fields = dagCbor.decode(payload) as object
    const asManifest = await signBlock('shoal/manifest/1', dagCbor.encode({ ...fields, author: inviter }), key)
    await assert.rejects(openGrant(asManifest.bytes), { code: 'bad_signature' })
    for (const wrong of [{ untilRound: 0 }, { untilRound: 1.5 }, { v: 2 }, { peer: 'someone' }, { run: 'text' }]) {
      const block = await signBlock('shoal/grant/1', dagCbor.encode({ ...fields, ...wrong }), key)
      await assert.rejects(openGrant(block.bytes), { code: 'bad_message' })
    }
    await assert.rejects(openGrant(new Uint8Array(513)), { code: 'message_too_large' })
  })

  it('requests and answers keep their bytes', async () => {
    const { bytes } = await signGrant(grant, key)
    const secret = new Uint8Array(SECRET_BYTES).fill(3)
    const requests: [AdmissionRequest, string][] = [
      [{ say: 'admit', run: RUN, name: 'attic', secret, grant: null }, GOLDEN.admit],
      [{ say: 'revoked', run: RUN, peer }, GOLDEN.revoked]
    ]
    for (const [request, golden] of requests) {
      assert.equal(hex(encodeAdmissionRequest(request)), golden)
      assert.deepEqual(decodeAdmissionRequest(encodeAdmissionRequest(request)), request)
    }
    const answers: [AdmissionAnswer, string | null][] = [
      [{ is: 'granted', grant: bytes }, null],
      [{ is: 'pending' }, 'a26176016269736770656e64696e67'],
      [{ is: 'refused', code: 'invitation_expired' }, GOLDEN.refused],
      [{ is: 'noted' }, 'a2617601626973656e6f746564']
    ]
    for (const [answer, golden] of answers) {
      if (golden !== null) assert.equal(hex(encodeAdmissionAnswer(answer)), golden)
      assert.deepEqual(decodeAdmissionAnswer(encodeAdmissionAnswer(answer)), answer)
    }
  })

  it('refuses what is not a request or an answer', () => {
    const good = { v: 1, say: 'admit', run: parseCid(RUN), name: null, secret: null, grant: null }
    const names = ['', 'a'.repeat(65), 'red\u001b[31m', 'two\nlines', ' blank first', 7]
    const wrong = [
      { ...good, say: 'give' },
      { ...good, run: RUN },
      ...names.map(name => ({ ...good, name })),
      { ...good, secret: new Uint8Array(SECRET_BYTES - 1) },
      { ...good, secret: 'text' },
      { ...good, grant: new Uint8Array(0) },
      { v: 1, say: 'revoked', run: parseCid(RUN), peer: 'someone' }
    ]
    for (const value of wrong) assert.throws(() => decodeAdmissionRequest(dagCbor.encode(value)), { code: 'bad_message' })
    assert.throws(() => decodeAdmissionRequest(dagCbor.encode({ ...good, v: 2 })), { code: 'version_mismatch' })
    for (const value of [{ v: 1 }, { v: 1, is: 'granted' }, { v: 1, is: 'refused', code: 'No way' }, { v: 1, is: 'refused' }])
      assert.throws(() => decodeAdmissionAnswer(dagCbor.encode(value)), { code: 'bad_message' })
    assert.throws(() => decodeAdmissionRequest(new Uint8Array(2_049)), { code: 'message_too_large' })
    assert.throws(() => decodeAdmissionAnswer(new Uint8Array(2_049)), { code: 'message_too_large' })
  })

  it('an invitation is text that survives pasting, and is refused without being repeated when it did not', () => {
    const invitation = {
      run: RUN,
      inviter,
      addresses: [`/ip4/127.0.0.1/tcp/4101/p2p/${inviter}`],
      secret: new Uint8Array(SECRET_BYTES).fill(3)
    }
    const text = encodeInvitation(invitation)
    assert.ok(isInvitationText(text))
    assert.deepEqual(decodeInvitation(` ${text}\n`), invitation)
    const many = encodeInvitation({ ...invitation, addresses: Array.from({ length: 20 }, () => `/dns4/${'a'.repeat(200)}/tcp/1`) })
    assert.equal(decodeInvitation(many).addresses.length, 4)
    for (const wrong of [
      '',
      'shoal-',
      text.slice(0, -3),
      text.replace('shoal-', ''),
      `${text}AAAA`,
      text + '%',
      `shoal-${'A'.repeat(3_000)}`
    ]) {
      assert.throws(
        () => decodeInvitation(wrong),
        (error: Error & { code: string }) =>
          error.code === 'bad_invitation' && (wrong.length < 10 || !error.message.includes(wrong.slice(6, 30)))
      )
    }
  })
})

const GOLDEN = {
  grant:
    'a56176016372756ed82a582500017112204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a64706565727834313244334b6f6f5742387343475a437277723739487461624c416e3935717950517836525948586a4562694436514b6f7537777767696e76697465727834313244334b6f6f5752617750627850745031655a614a70756d476e7957583244635579643352516e796472336541746f34417a376a756e74696c526f756e6418c0',
  grantCid: 'bafyreidcbtwito24asibzl7i743vllj7cfsncqqwbtro33cq5sphj3kiwi',
  admit:
    'a66176016372756ed82a582500017112204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a637361796561646d6974646e616d65656174746963656772616e74f6667365637265745003030303030303030303030303030303',
  revoked:
    'a46176016372756ed82a582500017112204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a63736179677265766f6b656464706565727834313244334b6f6f5742387343475a437277723739487461624c416e3935717950517836525948586a4562694436514b6f75377777',
  refused: 'a3617601626973677265667573656464636f646572696e7669746174696f6e5f65787069726564'
}
