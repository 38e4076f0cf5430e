// Relayed packets of one pair of runs (docs/protocol.md, "Envelope"): AES-256-GCM, one key for each direction, a counter
// as nonce. The keys are those of one epoch: see session-cipher.js.

import { join, Reader, Refusal, Writer } from "../base/bytes.js";
import { expand, extract, open, seal, sealingKey } from "./derivation.js";
import { isLower, peerBytes } from "./keys.js";
import { label } from "./topic.js";

const WINDOW = 1024n;

/** Which counters were seen: the highest, and those of the 1,024 below it (RFC 6479). */
class ReplayWindow {
  #highest = -1n;
  /** @type {Set<bigint>} */
  #seen = new Set();

  isNew(counter) {
    if (counter > this.#highest) return true;
    return this.#highest - counter < WINDOW && !this.#seen.has(counter);
  }

  note(counter) {
    this.#seen.add(counter);
    if (counter > this.#highest) this.#highest = counter;
    if (this.#seen.size > 2 * Number(WINDOW)) {
      for (const seen of this.#seen) if (this.#highest - seen >= WINDOW) this.#seen.delete(seen);
    }
  }
}

/** The two runs that share keys. */
export class SessionParties {
  /** @param {string} ownID @param {string} peerID @param {import("./topic.js").Topic} topic */
  constructor(ownID, peerID, topic) {
    this.ownIsLower = isLower(ownID, peerID);
    [this.lower, this.higher] = this.ownIsLower ? [ownID, peerID] : [peerID, ownID];
    this.topic = topic;
    /** Both ids, the lower first. */
    this.bytes = join(peerBytes(this.lower), peerBytes(this.higher));
  }

  /** Two keys, that of the lower first. */
  ordered(own, peer) {
    return this.ownIsLower ? [own, peer] : [peer, own];
  }
}

/**
 * What one epoch's envelopes are sealed with, and what the next epoch's keys come from.
 * @typedef {{send: CryptoKey, receive: CryptoKey, sendID: bigint, receiveID: bigint, root: Uint8Array}} EnvelopeKeys
 */

/** @returns {Promise<EnvelopeKeys>} */
async function derived(own, peerKey, salt, info, { ownIsLower }) {
  const bytes = await expand(await extract(salt, await own.agree(peerKey)), info, 112);
  const reader = new Reader(bytes);
  const [low, high] = [await sealingKey(reader.take(32)), await sealingKey(reader.take(32))];
  const [lowID, highID] = [reader.u64(), reader.u64()];
  const [send, receive] = ownIsLower ? [low, high] : [high, low];
  const [sendID, receiveID] = ownIsLower ? [lowID, highID] : [highID, lowID];
  return { send, receive, sendID, receiveID, root: reader.take(32) };
}

/**
 * The keys of epoch 0, from the two runs' session keys: both sides know them as soon as they hold each other's presence record.
 * @param {import("./keys.js").SessionKey} own @param {Uint8Array} peerKey 64 bytes @param {SessionParties} parties
 */
export const firstKeys = (own, peerKey, parties) =>
  derived(own, peerKey, parties.topic.id, join(label("session"), parties.bytes, ...parties.ordered(own.point, peerKey)), parties);

/**
 * The keys of a further epoch.
 * @param {import("./keys.js").SessionKey} own a key pair of this exchange only
 * @param {Uint8Array} root that of the epoch before
 */
export const furtherKeys = (own, peerKey, root, epoch, parties) => {
  const info = join(label("rekey"), parties.bytes, new Writer().u32(epoch).bytes, ...parties.ordered(own.point, peerKey));
  return derived(own, peerKey, root, info, parties);
};

export class EnvelopeCipher {
  #keys;
  #nextCounter;
  #window = new ReplayWindow();

  /** @param {EnvelopeKeys} keys @param {bigint} [firstCounter] above any that was used before under these keys */
  constructor(keys, firstCounter = 0n) {
    this.#keys = keys;
    this.#nextCounter = firstCounter;
    /** Names our key on the wire. */
    this.keyID = keys.sendID;
    /** The key id of what the peer sends. */
    this.peerKeyID = keys.receiveID;
  }

  /** @param {Uint8Array} packet @returns {Promise<Uint8Array>} key id ‖ counter ‖ ciphertext ‖ tag */
  async seal(packet) {
    const counter = this.#nextCounter;
    this.#nextCounter += 1n;
    const header = new Writer().u64(this.keyID).u64(counter).bytes;
    return join(header, await seal(this.#keys.send, nonce(counter), packet, header));
  }

  /** Each counter is accepted once. @param {Uint8Array} envelope @returns {Promise<Uint8Array>} the packet */
  async open(envelope) {
    const reader = new Reader(envelope);
    const id = reader.u64();
    const counter = reader.u64();
    if (reader.remaining < 16) throw new Refusal("malformed");
    if (id !== this.peerKeyID) throw new Refusal("notForUs");
    if (!this.#window.isNew(counter)) throw new Refusal("replayed");
    let packet;
    try {
      packet = await open(this.#keys.receive, nonce(counter), envelope.subarray(16), envelope.subarray(0, 16));
    } catch {
      throw new Refusal("forged");
    }
    // Another copy may have been opened meanwhile.
    if (!this.#window.isNew(counter)) throw new Refusal("replayed");
    this.#window.note(counter);
    return packet;
  }
}

/** Which session an envelope belongs to. @param {Uint8Array} envelope @returns {bigint} */
export const keyIDOf = (envelope) => new Reader(envelope).u64();

const nonce = (counter) => new Writer().u32(0).u64(counter).bytes;
