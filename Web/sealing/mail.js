// Frames for a member that is away: signed by the sender, sealed to a prekey of the recipient (docs/protocol.md, "Mail").

import { join, Reader, Refusal, Writer } from "../base/bytes.js";
import { openWith, sealTo } from "./hpke.js";
import { checkPeer, peerBytes, peerText, verifies } from "./keys.js";
import { label } from "./topic.js";

/** The largest item, in bytes. */
const LARGEST_ITEM = 24 * 1024;
const HEAD_BYTES = 5;

const head = (prekey) => new Writer().u8(1).u32(prekey).bytes;
const info = (topic) => join(label("mail item"), topic.id);
const signed = (prekey, body, topic) => join(info(topic), new Writer().u32(prekey).bytes, body);

/**
 * @typedef {object} MailItem
 * @property {string} sender
 * @property {string} recipient
 * @property {number} timestamp milliseconds since 1970 by the sender's clock
 * @property {Uint8Array} packet of the session
 */

/** @param {MailItem} item @param {import("../session/frame.js").Prekey} prekey @returns {Promise<Uint8Array>} */
export async function sealItem({ sender, recipient, timestamp, packet }, identity, prekey, topic) {
  const body = new Writer().append(peerBytes(sender)).append(peerBytes(recipient)).u64(Math.floor(timestamp)).append(packet).bytes;
  const signature = await identity.sign(signed(prekey.id, body, topic));
  return join(head(prekey.id), await sealTo(prekey.key, info(topic), join(body, signature), head(prekey.id)));
}

/** Which prekey an item is sealed to. @param {Uint8Array} sealed @returns {number} */
export function prekeyOf(sealed) {
  const reader = new Reader(sealed);
  if (sealed.length > LARGEST_ITEM || reader.u8() !== 1) throw new Refusal("malformed");
  return reader.u32();
}

/** Opens an item, and checks the signature; its age is the caller's to check. @returns {Promise<MailItem>} */
export async function openItem(sealed, own, topic) {
  const prekey = prekeyOf(sealed);
  const plaintext = await openWith(own, info(topic), sealed.subarray(HEAD_BYTES), head(prekey));
  const reader = new Reader(plaintext);
  const [sender, recipient] = [peerText(reader.take(64)), peerText(reader.take(64))];
  const timestamp = reader.count();
  if (reader.remaining < 64) throw new Refusal("malformed");
  const packet = reader.take(reader.remaining - 64);
  await checkPeer(sender);
  if (!(await verifies(sender, reader.rest(), signed(prekey, plaintext.subarray(0, -64), topic)))) throw new Refusal("forged");
  return { sender, recipient, timestamp, packet };
}

/** What the owner of prekeys signs. @param {string} owner @param {string} holder @param {Uint8Array} body */
export const prekeysSigned = (owner, holder, body, topic) =>
  join(label("prekeys"), topic.id, peerBytes(owner), peerBytes(holder), body);
