// What a client knows of one link: a relay has everything, is asked for what we follow and acknowledges what we write; a
// member is a peer like ourselves.

import { MemberQueue } from "./member-queue.js";

/** How many milliseconds pass before a relay is given what it may lack: it may hear it from another meanwhile. */
const REPAIR_DELAY = { least: 50, most: 500 };

/** So many a second in the long run, and so many at once. */
export class TokenBucket {
  #tokens;
  #at = 0;
  #rate;
  #burst;

  constructor(rate, burst = rate) {
    this.#rate = rate;
    this.#burst = burst;
    this.#tokens = burst;
  }

  take(now) {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1_000) * this.#rate);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export class LinkState {
  /** Its name for itself, when it has said it. */
  pid = null;
  /** Of a member: whom it says it is connected to. @type {Set<string>} */
  neighbours = new Set();
  /** Of a member: what it is still to be given. */
  queue = new MemberQueue();
  /** Of a member: how many souls and keys it follows. */
  followed = 0;

  /** @param {"relay" | "member"} kind @param {{answersPerSecond: number, queriesPerSecond: number, followedByMember: number}} limits */
  constructor(kind, limits) {
    this.kind = kind;
    this.answers = new TokenBucket(limits.answersPerSecond);
    this.queries = new TokenBucket(limits.queriesPerSecond, limits.followedByMember);
    this.repairs = new Repairs();
  }

  get isMember() {
    return this.kind === "member";
  }
}

/**
 * What a relay may lack of the souls that we share and follow: it lost its data, or the writer is not connected to it. It is
 * given that after a random wait, in which it may turn out to have heard it from another member.
 */
class Repairs {
  /** @type {Map<string, {keys: Set<string>, isAwaitingAnswer: boolean, due: number}>} */
  #souls = new Map();

  get nextTimeout() {
    let next = Infinity;
    for (const { due } of this.#souls.values()) next = Math.min(next, due);
    return next;
  }

  #of(soul) {
    if (!this.#souls.has(soul)) this.#souls.set(soul, { keys: new Set(), isAwaitingAnswer: false, due: Infinity });
    return this.#souls.get(soul);
  }

  /** The relay is about to be asked: its answer will show what it has; when there is none, that is taken for nothing. */
  asked(soul, keys, patienceEnds) {
    if (!keys.length) return;
    const repair = this.#of(soul);
    for (const key of keys) repair.keys.add(key);
    repair.isAwaitingAnswer = true;
    repair.due = patienceEnds;
  }

  answered(soul, now) {
    const repair = this.#souls.get(soul);
    if (!repair?.isAwaitingAnswer) return;
    repair.isAwaitingAnswer = false;
    repair.due = now + waiting();
  }

  /** The relay is to have that too. */
  owe(soul, key, now) {
    const repair = this.#of(soul);
    repair.keys.add(key);
    if (repair.due === Infinity) repair.due = now + waiting();
  }

  /** It has that. */
  has(soul, key) {
    this.#souls.get(soul)?.keys.delete(key);
  }

  /** What is due, by soul. @returns {[string, string[]][]} */
  takeDue(now) {
    const due = [...this.#souls].filter(([, repair]) => now >= repair.due);
    for (const [soul] of due) this.#souls.delete(soul);
    return due.map(([soul, { keys }]) => [soul, [...keys]]);
  }
}

const waiting = () => REPAIR_DELAY.least + Math.random() * (REPAIR_DELAY.most - REPAIR_DELAY.least);
