// What the members of one swarm share (docs/protocol.md, "Topic").

import { base64url, join, randomBytes, Refusal, utf8 } from "../base/bytes.js";
import { expand, extract, open, seal, sealingKey, stretched } from "./derivation.js";

/** What each derivation and signature begins with. @param {string} word */
export const label = (word) => utf8(`swarm-space/1 ${word}`);

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** The infohash of a plain name, with the passphrase of a private swarm. @returns {Promise<Uint8Array>} 20 bytes */
export async function infoHashOfName(name, secret) {
  const salt = join(label("name "), utf8(name));
  if (secret) return expand(await stretched(utf8(secret), salt), label("infohash"), 20);
  return new Uint8Array(await crypto.subtle.digest("SHA-1", salt));
}

/** Keys and names that whoever knows the topic can derive, and nobody else. */
export class Topic {
  #root;
  #sealKey;
  /** Names derived lately: a soul is asked for with each datagram. @type {Map<string, Promise<string>>} */
  #names = new Map();

  /** @param {Uint8Array} infoHash @param {string} [secret] the passphrase of a private swarm */
  static async of(infoHash, secret) {
    const topic = new Topic();
    const material = secret ? await stretched(utf8(secret), join(label("topic"), infoHash)) : infoHash;
    topic.infoHash = infoHash;
    topic.#root = await extract(label("topic"), material);
    topic.id = await expand(topic.#root, label("id"), 16);
    topic.#sealKey = await sealingKey(await expand(topic.#root, label("seal"), 32));
    return topic;
  }

  #name(word, count, prefix) {
    const known = this.#names.get(word);
    if (known) return known;
    const name = expand(this.#root, label(word), count).then((bytes) => prefix + base64url(bytes));
    if (this.#names.size >= 4096) this.#names.delete(this.#names.keys().next().value);
    this.#names.set(word, name);
    return name;
  }

  /** @param {number} day days since 1970, UTC @returns {Promise<string>} */
  presenceSoul(day) {
    return this.#name(`presence ${day}`, 16, "swarm/");
  }

  /** @param {string} peer @param {number} day @returns {Promise<string>} */
  inboxSoul(peer, day) {
    return this.#name(`inbox ${day} ${peer}`, 16, "swarm/");
  }

  /** Where mail for a member is left in a week. @param {string} peer @param {number} week days since 1970 / 7 @returns {Promise<string>} */
  async mailSoul(peer, week) {
    return `${await this.#name(`mail ${week} ${peer}`, 16, "swarm/")}<?1209600`;
  }

  /** A member's name inside the souls of this swarm. @param {string} peer @returns {Promise<string>} */
  tag(peer) {
    return this.#name(`tag ${peer}`, 9, "");
  }

  /** "Sealed to the topic": nonce ‖ ciphertext ‖ tag. @param {Uint8Array} plaintext @param {string} word */
  async seal(plaintext, word) {
    const nonce = randomBytes(NONCE_BYTES);
    return join(nonce, await seal(this.#sealKey, nonce, plaintext, label(word)));
  }

  /** @param {Uint8Array} sealed @param {string} word @returns {Promise<Uint8Array>} */
  async open(sealed, word) {
    if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new Refusal("malformed");
    try {
      return await open(this.#sealKey, sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES), label(word));
    } catch {
      throw new Refusal("notForUs");
    }
  }
}
