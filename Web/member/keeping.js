// Storage: what a member notes of its conversations, and what may happen once it is noted. Keys are those of the Swift
// implementation: `out/PEER`, `in/PEER` and `msg/PEER/NUMBER`; and `got/PEER/STREAM/NUMBER`, a message that has come and
// that the application has not taken yet.

import { Inbound } from "../session/inbound.js";
import { Outbound } from "../session/outbound.js";
import { SESSION } from "../session/session.js";

/** A number as a key that sorts as it counts. @param {number} number */
const digits = (number) => String(number).padStart(16, "0");

export const messageKey = (peer, number) => `msg/${peer}/${digits(number)}`;
export const gotKey = (peer, stream, number) => `got/${peer}/${stream}/${digits(number)}`;

/** Writes batches one after the other; what comes while one is written shares the next. */
export class Keeping {
  #store;
  #changes = new Map();
  #consequences = [];
  #writing = null;
  #failed;

  /** @param {import("../storage/store.js").MemoryStore} store @param {(error: Error) => void} failed */
  constructor(store, failed) {
    this.#store = store;
    this.#failed = failed;
  }

  /** @param {string} key @param {unknown} value `undefined` removes it */
  set(key, value) {
    this.#changes.set(key, value);
    this.#write();
  }

  /** What is to happen when everything set so far is kept. @param {() => void} consequence */
  afterwards(consequence) {
    this.#consequences.push(consequence);
    this.#write();
  }

  /** Until nothing waits any more. */
  async finished() {
    while (this.#writing) await this.#writing;
  }

  #write() {
    this.#writing ??= Promise.resolve().then(() => this.#drain()).finally(() => (this.#writing = null));
  }

  async #drain() {
    while (this.#changes.size || this.#consequences.length) {
      const [changes, consequences] = [this.#changes, this.#consequences];
      this.#changes = new Map();
      this.#consequences = [];
      try {
        if (changes.size) await this.#store.write(changes);
      } catch (error) {
        // The disk is full, or the browser forbids storage: the conversation goes on, as far as this page lives.
        this.#failed(error);
      }
      for (const consequence of consequences) consequence();
    }
  }
}

/**
 * What an earlier run kept.
 * @param {Map<string, unknown>} records
 * @param {Set<string>} [taken] messages that the application took in the end
 * @returns {{sessions: Map<string, {outbound: Outbound | null, inbound: Inbound | null}>, got: object[]}}
 */
export function restore(records, taken = new Set()) {
  const sessions = new Map();
  const got = [];
  const session = (peer) => {
    if (!sessions.has(peer)) sessions.set(peer, { outbound: null, inbound: null });
    return sessions.get(peer);
  };
  const waiting = new Map();
  for (const [key, value] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [kind, peer] = key.split("/");
    if (kind === "msg") waiting.set(peer, [...(waiting.get(peer) ?? []), value]);
    if (kind === "got" && !taken.has(key)) got.push(value);
    if (kind === "in") {
      const inbound = (session(peer).inbound = new Inbound(SESSION.largestMessage));
      inbound.restore(value.stream, value.next);
    }
  }
  for (const [key, value] of records) {
    const [kind, peer] = key.split("/");
    if (kind !== "out") continue;
    const messages = waiting.get(peer) ?? [];
    const base = messages[0]?.sequence ?? value.next;
    const outbound = (session(peer).outbound = new Outbound(value.stream, base, messages[0]?.number ?? value.nextMessage));
    for (const { content, isText } of messages) outbound.enqueue(content, isText);
    outbound.release(outbound.next);
  }
  return { sessions, got };
}
