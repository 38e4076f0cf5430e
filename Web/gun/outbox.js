// The durable puts that some relay may not have yet, a key each: sent again after a silence, then with a query that reads
// it back, for relays do not acknowledge what they knew already.

import { address } from "./member-queue.js";

/** Times in milliseconds. */
const LIMITS = Object.freeze({ attempts: 4, acknowledgementTimeout: 4_000, acknowledgedLifetime: 60_000, entries: 4_096 });

export class Outbox {
  /** By name, the oldest first. */
  #entries = new Map();
  #souls = new Map();

  /** How many no relay has acknowledged yet. */
  get unacknowledgedCount() {
    return this.unacknowledged.length;
  }

  get unacknowledged() {
    return [...this.#entries.values()].filter(({ acknowledgedAt }) => acknowledgedAt === null);
  }

  /** Whether a put of that key is kept. */
  has(soul, key) {
    return this.#entries.has(address(soul, key));
  }

  holdsSoul(soul) {
    return this.#souls.has(soul);
  }

  add(soul, key, { value, state }) {
    const name = address(soul, key);
    this.#remove(name);
    this.#souls.set(soul, (this.#souls.get(soul) ?? 0) + 1);
    this.#entries.set(name, { soul, key, value, state, waiting: new Map(), acknowledgedBy: new Set(), acknowledgedAt: null });
    if (this.#entries.size > LIMITS.entries) this.#remove(this.#entries.keys().next().value);
  }

  #remove(name) {
    const entry = this.#entries.get(name);
    if (!this.#entries.delete(name)) return;
    const count = this.#souls.get(entry.soul) - 1;
    if (count) this.#souls.set(entry.soul, count);
    else this.#souls.delete(entry.soul);
  }

  /** A newer write of that key is known. */
  supersede(soul, key, state) {
    const name = address(soul, key);
    if (this.#entries.get(name)?.state < state) this.#remove(name);
  }

  /** The put was sent on a link. */
  sent(soul, key, link, now, attempts = 1) {
    const due = now + LIMITS.acknowledgementTimeout * 2 ** (attempts - 1);
    this.#entries.get(address(soul, key))?.waiting.set(link, { attempts, due });
  }

  /** @returns {boolean} whether this is the first relay that has it */
  acknowledge(soul, key, state, link, now) {
    const entry = this.#entries.get(address(soul, key));
    if (!entry || entry.state !== state) return false;
    entry.waiting.delete(link);
    entry.acknowledgedBy.add(link);
    const isFirst = entry.acknowledgedAt === null;
    entry.acknowledgedAt ??= now;
    return isFirst;
  }

  linkClosed(link) {
    for (const entry of this.#entries.values()) entry.waiting.delete(link);
  }

  /** What a link that has opened may lack. */
  lackedBy(link) {
    return [...this.#entries.values()].filter(({ acknowledgedBy }) => !acknowledgedBy.has(link));
  }

  get nextTimeout() {
    let next = Infinity;
    for (const entry of this.#entries.values()) {
      for (const { due } of entry.waiting.values()) next = Math.min(next, due);
      if (entry.acknowledgedAt !== null) next = Math.min(next, entry.acknowledgedAt + LIMITS.acknowledgedLifetime);
    }
    return next;
  }

  /** Lets go of what need not be kept. @returns {{entry: object, link: object, attempts: number}[]} what is to be sent again */
  takeDue(now) {
    const again = [];
    for (const [name, entry] of this.#entries) {
      for (const [link, { attempts, due }] of entry.waiting) {
        if (now < due) continue;
        entry.waiting.delete(link);
        if (attempts < LIMITS.attempts) again.push({ entry, link, attempts: attempts + 1 });
      }
      const isOld = entry.acknowledgedAt !== null && now >= entry.acknowledgedAt + LIMITS.acknowledgedLifetime;
      if (isOld && entry.waiting.size === 0) this.#remove(name);
    }
    return again;
  }
}
