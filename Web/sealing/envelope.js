// Relayed packets of one pair of runs (docs/protocol.md, "Envelope"): AES-256-GCM, one key for each direction, a counter
// as nonce. Both sides know the keys as soon as they hold each other's presence record.

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

export class EnvelopeCipher {
  #sendKey;
  #receiveKey;
  #nextCounter;
  #window = new ReplayWindow();

  /**
   * @param {object} parts
   * @param {import("./keys.js").SessionKey} parts.own our session key
   * @param {string} parts.ownID
   * @param {Uint8Array} parts.peerKey the other's, 64 bytes
   * @param {string} parts.peerID
   * @param {import("./topic.js").Topic} parts.topic
   * @param {bigint} [parts.firstCounter] above any that was used before under these keys
   */
  static async of({ own, ownID, peerKey, peerID, topic, firstCounter = 0n }) {
    const ownFirst = isLower(ownID, peerID);
    const ids = ownFirst ? [ownID, peerID] : [peerID, ownID];
    const keys = ownFirst ? [own.point, peerKey] : [peerKey, own.point];
    const info = join(label("session"), ...ids.map(peerBytes), ...keys);
    const derived = await expand(await extract(topic.id, await own.agree(peerKey)), info, 80);
    const [low, high] = [derived.subarray(0, 32), derived.subarray(32, 64)];
    const names = new Reader(derived.subarray(64));
    const [lowID, highID] = [names.u64(), names.u64()];
    const cipher = new EnvelopeCipher();
    cipher.#sendKey = await sealingKey(ownFirst ? low : high);
    cipher.#receiveKey = await sealingKey(ownFirst ? high : low);
    cipher.#nextCounter = firstCounter;
    /** Names our key on the wire. */
    cipher.keyID = ownFirst ? lowID : highID;
    /** The key id of what the peer sends. */
    cipher.peerKeyID = ownFirst ? highID : lowID;
    return cipher;
  }

  /** @param {Uint8Array} packet @returns {Promise<Uint8Array>} key id ‖ counter ‖ ciphertext ‖ tag */
  async seal(packet) {
    const counter = this.#nextCounter;
    this.#nextCounter += 1n;
    const header = new Writer().u64(this.keyID).u64(counter).bytes;
    return join(header, await seal(this.#sendKey, nonce(counter), packet, header));
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
      packet = await open(this.#receiveKey, nonce(counter), envelope.subarray(16), envelope.subarray(0, 16));
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
