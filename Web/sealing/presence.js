// What a member says of itself to the swarm (docs/protocol.md, "Presence record").

import { join, Reader, Refusal, text, utf8, Writer } from "../base/bytes.js";
import { checkPeer, peerBytes, peerText, verifies } from "./keys.js";
import { label } from "./topic.js";

const LONGEST_NAME = 64;
const SIGNATURE_BYTES = 64;

/**
 * @typedef {object} PresenceRecord
 * @property {string} peer
 * @property {Uint8Array} sessionKey 64 bytes
 * @property {number} timestamp milliseconds since 1970 by the member's clock
 * @property {boolean} isLeaving
 * @property {boolean} [knowsLanes]
 * @property {boolean} [keepsState] it keeps its state, and takes mail
 * @property {boolean} [takesLaneMail] what mail it takes may be of every lane, and have deadlines
 * @property {string} name
 */

/** At most 64 bytes of UTF-8, whole characters. @param {string} name */
export function cutName(name) {
  let cut = "";
  for (const character of name) {
    if (utf8(cut + character).length > LONGEST_NAME) break;
    cut += character;
  }
  return cut;
}

/** @param {PresenceRecord} record @param {import("./keys.js").Identity} identity @param {import("./topic.js").Topic} topic */
export async function sealPresence(record, identity, topic) {
  const name = utf8(cutName(record.name));
  const body = new Writer().u8(1).append(peerBytes(record.peer)).append(record.sessionKey).u64(Math.floor(record.timestamp))
    .u8((record.isLeaving ? 1 : 0) | (record.knowsLanes ? 2 : 0) | (record.keepsState ? 4 : 0) | (record.takesLaneMail ? 8 : 0)).u8(name.length).append(name).bytes;
  const signature = await identity.sign(join(label("presence"), topic.id, body));
  return topic.seal(join(body, signature), "presence");
}

/** Opens a record and checks its signature; whether it is fresh is the caller's to check. @returns {Promise<PresenceRecord>} */
export async function openPresence(sealed, topic) {
  const plaintext = await topic.open(sealed, "presence");
  const reader = new Reader(plaintext);
  if (reader.u8() !== 1) throw new Refusal("malformed");
  const peer = peerText(reader.take(64));
  const sessionKey = reader.take(64);
  const timestamp = reader.count();
  const flags = reader.u8();
  const name = reader.take(reader.u8());
  if (name.length > LONGEST_NAME || reader.remaining !== SIGNATURE_BYTES) throw new Refusal("malformed");
  const signature = reader.rest();
  await checkPeer(peer);
  const signed = join(label("presence"), topic.id, plaintext.subarray(0, -SIGNATURE_BYTES));
  if (!(await verifies(peer, signature, signed))) throw new Refusal("forged");
  return {
    peer, sessionKey, timestamp, isLeaving: (flags & 1) !== 0, knowsLanes: (flags & 2) !== 0, keepsState: (flags & 4) !== 0,
    takesLaneMail: (flags & 8) !== 0, name: text(name),
  };
}
