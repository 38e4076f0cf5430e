// Signaling messages: signed by the sender, sealed to the recipient or to the topic (docs/protocol.md, "Signal").

import { base64url, fromBase64url, join, Reader, Refusal, text, utf8, Writer } from "../base/bytes.js";
import { openWith, sealTo } from "./hpke.js";
import { checkPeer, peerBytes, peerText, verifies } from "./keys.js";
import { label } from "./topic.js";

/** The largest signal, sealed, in bytes. */
export const LARGEST_SIGNAL = 16 * 1024;
const SIGNATURE_BYTES = 64;
const MOST_CANDIDATES = 32;
const NOBODY = new Uint8Array(64);

/** @enum {number} */
export const Kind = Object.freeze({ offer: 1, answer: 2, candidates: 3, restartRequest: 4, closed: 5 });

/**
 * @typedef {object} Signal
 * @property {number} kind one of {@link Kind}
 * @property {string} sender
 * @property {string | null} recipient `null`: whoever gets it from a tracker
 * @property {number} timestamp
 * @property {bigint} id random: a copy that comes by another carrier is known by it
 * @property {bigint} connection
 * @property {number} attempt grows with every offer of the deciding side
 * @property {string} [sdp] of an offer or answer
 * @property {string} [ufrag] of candidates
 * @property {string[]} [candidates]
 */

function content(signal) {
  if (signal.kind === Kind.candidates) return [signal.ufrag, ...signal.candidates].join("\n");
  return signal.sdp ?? "";
}

async function signed(signal, identity, topic) {
  const body = utf8(content(signal));
  if (body.length > LARGEST_SIGNAL / 2) throw new Refusal("malformed");
  const bytes = new Writer().u8(1).u8(signal.kind).append(peerBytes(signal.sender))
    .append(signal.recipient ? peerBytes(signal.recipient) : NOBODY).u64(Math.floor(signal.timestamp)).u64(signal.id)
    .u64(signal.connection).u64(signal.attempt).prefixed16(body).bytes;
  return join(bytes, await identity.sign(join(label("signal"), topic.id, bytes)));
}

const info = (topic) => join(label("signal"), topic.id);

/** @param {Signal} signal @param {Uint8Array} recipientKey its session key, 64 bytes @returns {Promise<Uint8Array>} */
export const sealSignal = async (signal, identity, topic, recipientKey) =>
  sealTo(recipientKey, info(topic), await signed(signal, identity, topic));

/** An offer to whoever gets it from a tracker. @param {Signal} signal @returns {Promise<Uint8Array>} */
export const sealOpenOffer = async (signal, identity, topic) =>
  topic.seal(await signed(signal, identity, topic), "open offer");

/** Freshness and replay are the caller's to check. @returns {Promise<Signal>} */
export async function openSignal(sealed, sessionKey, topic) {
  if (sealed.length > LARGEST_SIGNAL) throw new Refusal("malformed");
  return parse(await openWith(sessionKey, info(topic), sealed), topic);
}

/** @returns {Promise<Signal>} */
export async function openOpenOffer(sealed, topic) {
  if (sealed.length > LARGEST_SIGNAL) throw new Refusal("malformed");
  return parse(await topic.open(sealed, "open offer"), topic);
}

async function parse(bytes, topic) {
  const reader = new Reader(bytes);
  if (reader.u8() !== 1) throw new Refusal("malformed");
  const kind = reader.u8();
  const sender = peerText(reader.take(64));
  const to = reader.take(64);
  const recipient = to.some((byte) => byte !== 0) ? peerText(to) : null;
  const timestamp = reader.count();
  const id = reader.u64();
  const connection = reader.u64();
  const attempt = reader.count();
  const body = reader.prefixed16();
  if (reader.remaining !== SIGNATURE_BYTES) throw new Refusal("malformed");
  const signature = reader.rest();
  await checkPeer(sender);
  const message = join(label("signal"), topic.id, bytes.subarray(0, -SIGNATURE_BYTES));
  if (!(await verifies(sender, signature, message))) throw new Refusal("forged");
  return { kind, sender, recipient, timestamp, id, connection, attempt, ...parsedContent(kind, body) };
}

function parsedContent(kind, body) {
  switch (kind) {
    case Kind.offer:
    case Kind.answer:
      return { sdp: text(body) };
    case Kind.candidates: {
      const [ufrag, ...candidates] = text(body).split("\n");
      if (candidates.length > MOST_CANDIDATES) throw new Refusal("malformed");
      return { ufrag, candidates };
    }
    case Kind.restartRequest:
    case Kind.closed:
      if (body.length) throw new Refusal("malformed");
      return {};
    default:
      throw new Refusal("malformed");
  }
}

/** What a tracker carries in place of an SDP (docs/protocol.md, "Tracker"). @returns {string} */
export const trackerText = (presence, signal) => base64url(new Writer().prefixed16(presence).append(signal).bytes);

/** @param {string} characters @returns {{presence: Uint8Array, signal: Uint8Array}} */
export function parseTrackerText(characters) {
  if (characters.length > 2 * LARGEST_SIGNAL) throw new Refusal("malformed");
  const reader = new Reader(fromBase64url(characters));
  return { presence: reader.prefixed16(), signal: reader.rest() };
}
