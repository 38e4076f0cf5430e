// The envelopes of one pair of runs, with keys that are replaced again and again by those of a fresh exchange: an epoch each
// (docs/protocol.md, "Rekeying"). The member with the lower id begins.
//
// No IO. What it does takes its time, because WebCrypto does: the owner calls `open` and `receive` one after the other.

import { compare, join, Refusal, Writer } from "../base/bytes.js";
import { EnvelopeCipher, firstKeys, furtherKeys, keyIDOf } from "./envelope.js";
import { SessionKey, verifies } from "./keys.js";
import { label } from "./topic.js";

/** Times in milliseconds. */
export const REKEYING = Object.freeze({
  /** How long the keys of an epoch are used, and for how many bytes. */
  longestEpoch: 3_600_000,
  largestEpoch: 2 ** 30,
  /** How long the former keys still open what was on its way. */
  grace: 30_000,
  longestWait: 60_000,
  /** How often a frame is sent without an answer before the exchange is given up for an epoch's length. */
  attempts: 10,
});

/**
 * What is signed of an exchange: nothing of it counts in another conversation, or in another epoch of this one.
 * @param {"rekey" | "rekeyed"} word @param {import("./envelope.js").SessionParties} parties
 * @param {bigint} keyID names the key from the lower to the higher of the epoch before
 * @param {Uint8Array[]} keys
 */
export const exchanged = (word, parties, keyID, epoch, keys) =>
  join(label(word), parties.topic.id, parties.bytes, new Writer().u64(keyID).u32(epoch).bytes, ...keys);

const equal = (a, b) => compare(a, b) === 0;

export class SessionCipher {
  #parties;
  #identity;
  #limits;
  /** Kept as long as the session keys are, from which it follows. */
  #first;
  /** The epoch that we seal in, if it is not the first. */
  #current = null;
  /** @type {{epoch: object, until: number} | null} */
  #former = null;
  #switchedAt;
  /** Of the higher one: the epoch that it has answered for and does not seal in yet, and what it answered. */
  #next = null;
  /** What is repeated until it is answered. @type {{own: SessionKey | null, frame: object, at: number, count: number} | null} */
  #attempt = null;
  #isBeginning = false;
  #restAt = null;
  /** What is to be said to the other side; the owner empties it. @type {object[]} */
  frames = [];

  /**
   * @param {object} parts
   * @param {SessionKey} parts.own our session key
   * @param {Uint8Array} parts.peerKey the other's, 64 bytes
   * @param {import("./envelope.js").SessionParties} parts.parties
   * @param {import("./keys.js").Identity} parts.identity
   * @param {bigint} [parts.firstCounter] above any that was used before under these keys
   * @param {number} parts.now
   * @param {typeof REKEYING} [parts.limits]
   */
  static async of({ own, peerKey, parties, identity, firstCounter = 0n, now, limits = REKEYING }) {
    const cipher = new SessionCipher();
    const keys = await firstKeys(own, peerKey, parties);
    cipher.#parties = parties;
    cipher.#identity = identity;
    cipher.#limits = limits;
    cipher.#first = { number: 0, cipher: new EnvelopeCipher(keys, firstCounter), root: keys.root, begunAt: now, bytes: 0 };
    cipher.#switchedAt = now;
    return cipher;
  }

  get #base() {
    return this.#current ?? this.#first;
  }

  /** The number of the epoch that we seal in. */
  get epoch() {
    return this.#base.number;
  }

  /** The names of all keys that the other side may have sealed with. @returns {bigint[]} */
  get peerKeyIDs() {
    const epochs = [this.#first, this.#current, this.#former?.epoch, this.#next?.epoch];
    return epochs.filter(Boolean).map(({ cipher }) => cipher.peerKeyID);
  }

  // Packets.

  /** @param {Uint8Array} packet @returns {Promise<Uint8Array>} key id ‖ counter ‖ ciphertext ‖ tag */
  seal(packet) {
    this.#base.bytes += packet.length;
    return this.#base.cipher.seal(packet);
  }

  /** Each counter is accepted once. @param {Uint8Array} envelope @param {number} now @returns {Promise<Uint8Array>} the packet */
  async open(envelope, now) {
    const id = keyIDOf(envelope);
    const [current, next, former] = [this.#current, this.#next, this.#former];
    if (id === current?.cipher.peerKeyID) {
      const packet = await current.cipher.open(envelope);
      current.bytes += envelope.length;
      if (this.#parties.ownIsLower && this.#attempt?.own === null && this.#current === current) this.#attempt = null;
      return packet;
    }
    if (id === next?.epoch.cipher.peerKeyID) {
      const packet = await next.epoch.cipher.open(envelope);
      if (this.#next === next) this.#switchToNext(now);
      return packet;
    }
    if (former && now < former.until && id === former.epoch.cipher.peerKeyID) return former.epoch.cipher.open(envelope);
    const packet = await this.#first.cipher.open(envelope);
    if (this.#current && now >= this.#switchedAt + this.#limits.grace) await this.#startOver(now);
    return packet;
  }

  /** The other side has forgotten what we agreed on. */
  async #startOver(now) {
    this.#current = this.#former = this.#next = this.#attempt = null;
    await this.begin(now);
  }

  // Exchanges.

  /** The lower one begins an exchange, if none is under way. */
  async begin(now) {
    if (!this.#parties.ownIsLower || this.#attempt || this.#isBeginning) return;
    this.#isBeginning = true;
    try {
      const base = this.#base;
      const own = await SessionKey.generate();
      const epoch = base.number + 1;
      const signature = await this.#identity.sign(exchanged("rekey", this.#parties, base.cipher.keyID, epoch, [own.point]));
      if (base !== this.#base) return;
      this.#restAt = null;
      this.#attempt = { own, frame: { type: "rekey", epoch, key: own.point, signature }, at: now, count: 0 };
      this.#repeat(now);
    } finally {
      this.#isBeginning = false;
    }
  }

  /** Takes what the other side says of keys; it came by a path that is authentic. */
  async receive(frame, now) {
    switch (frame.type) {
      case "rekey":
        if (this.#parties.ownIsLower) throw new Refusal("malformed");
        return this.#answer(frame, now);
      case "rekeyed":
        return this.#finish(frame, now);
      case "switched":
        if (this.#parties.ownIsLower) {
          if (frame.epoch === this.epoch && this.#attempt?.own === null) this.#attempt = null;
        } else {
          if (frame.epoch === this.#next?.epoch.number) this.#switchToNext(now);
          if (frame.epoch === this.epoch && frame.epoch > 0) this.#say({ type: "switched", epoch: frame.epoch });
        }
    }
  }

  async #answer({ epoch, key, signature }, now) {
    const base = this.#base;
    // One of an epoch that is over was repeated on its way.
    if (epoch !== base.number + 1) return;
    if (this.#next && equal(this.#next.offered, key)) return this.#say(this.#next.answer);
    const keyID = base.cipher.peerKeyID;
    const { lower } = this.#parties;
    if (!(await verifies(lower, signature, exchanged("rekey", this.#parties, keyID, epoch, [key])))) throw new Refusal("forged");
    const own = await SessionKey.generate();
    const keys = await furtherKeys(own, key, base.root, epoch, this.#parties);
    const signed = await this.#identity.sign(exchanged("rekeyed", this.#parties, keyID, epoch, [key, own.point]));
    if (base !== this.#base) return;
    const answer = { type: "rekeyed", epoch, key: own.point, signature: signed };
    const next = { number: epoch, cipher: new EnvelopeCipher(keys), root: keys.root, begunAt: now, bytes: 0 };
    this.#next = { epoch: next, offered: key, answer };
    this.#say(answer);
  }

  async #finish({ epoch, key, signature }, now) {
    const attempt = this.#attempt;
    const own = attempt?.own;
    if (!own || attempt.frame.epoch !== epoch) return;
    const base = this.#base;
    const signed = exchanged("rekeyed", this.#parties, base.cipher.keyID, epoch, [own.point, key]);
    if (!(await verifies(this.#parties.higher, signature, signed))) throw new Refusal("forged");
    const keys = await furtherKeys(own, key, base.root, epoch, this.#parties);
    if (this.#attempt !== attempt || base !== this.#base) return;
    this.#switchTo({ number: epoch, cipher: new EnvelopeCipher(keys), root: keys.root, begunAt: now, bytes: 0 }, now);
    this.#attempt = { own: null, frame: { type: "switched", epoch }, at: now, count: 0 };
    this.#repeat(now);
  }

  /** The lower one seals in the next epoch: so does the higher one. */
  #switchToNext(now) {
    const { epoch } = this.#next;
    this.#next = null;
    this.#switchTo(epoch, now);
  }

  #switchTo(epoch, now) {
    this.#former = this.#current && { epoch: this.#current, until: now + this.#limits.grace };
    this.#current = epoch;
    this.#switchedAt = now;
  }

  #say(frame) {
    // Repetitions that nobody has taken yet say nothing more.
    if (!this.frames.some((other) => other.type === frame.type && other.epoch === frame.epoch)) this.frames.push(frame);
  }

  // Time.

  async handleTimeout(now) {
    if (this.#former && now >= this.#former.until) this.#former = null;
    if (this.#attempt && now >= this.#attempt.at) this.#repeat(now);
    if (!this.#attempt && now >= this.#renewalAt) await this.begin(now);
  }

  #repeat(now) {
    const attempt = this.#attempt;
    if (attempt.count >= this.#limits.attempts) {
      this.#attempt = null;
      this.#restAt = now + this.#limits.longestEpoch;
      return;
    }
    this.#say(attempt.frame);
    attempt.at = now + Math.min(1_000 * 2 ** attempt.count, this.#limits.longestWait);
    attempt.count += 1;
  }

  /** When the lower one begins anew; never before the first exchange, which {@link begin} starts. */
  get #renewalAt() {
    if (!this.#parties.ownIsLower || this.#isBeginning) return Infinity;
    if (this.#restAt !== null) return this.#restAt;
    if (!this.#current) return Infinity;
    return this.#current.bytes >= this.#limits.largestEpoch ? -Infinity : this.#current.begunAt + this.#limits.longestEpoch;
  }

  /** When {@link handleTimeout} is due. */
  get nextTimeout() {
    return Math.min(this.#former?.until ?? Infinity, this.#attempt?.at ?? this.#renewalAt);
  }
}
