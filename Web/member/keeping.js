// Storage: what a member notes of its conversations, and what may happen once it is noted. Keys are those of the Swift
// implementation: `out/PEER` and `in/PEER`, and for lanes but the first `out/PEER/LANE` and `in/PEER/LANE`; `msg/PEER/NUMBER`;
// `blocked/PEER`; and `got/PEER/STREAM/NUMBER`, a message that has come and that the application has not taken yet.

import { Inbound } from "../session/inbound.js";
import { isControl, LANES, PLAIN } from "../session/lane.js";
import { Outbound } from "../session/outbound.js";
import { SESSION } from "../session/session.js";

/** A number as a key that sorts as it counts. @param {number} number */
const digits = (number) => String(number).padStart(16, "0");

export const messageKey = (peer, number) => `msg/${peer}/${digits(number)}`;
export const gotKey = (peer, stream, number) => `got/${peer}/${stream}/${digits(number)}`;
/** @param {"in" | "out"} kind @param {string} peer @param {number} lane */
export const streamKey = (kind, peer, lane) => `${kind}/${peer}${lane === PLAIN ? "" : `/${lane}`}`;

/**
 * A message of ours as it is kept.
 * @typedef {object} KeptMessage
 * @property {number} number
 * @property {number} sequence of its first fragment
 * @property {boolean} isText
 * @property {Uint8Array} content
 * @property {number} [lane]
 * @property {number} [deadline] milliseconds since 1970; 0 for none
 * @property {number} [fragments] how many
 * @property {boolean} [isWithdrawn]
 */

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
    this.#writing ??= this.#drain();
  }

  async #drain() {
    // What is set in one go shares a batch.
    await null;
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
    // At once: what is set from now on, by whoever waited for this, needs another.
    this.#writing = null;
  }
}

/** Whether a lane is one of which something is kept. @param {number} lane */
const isKept = (lane) => Number.isInteger(lane) && lane >= 0 && lane < LANES && !isControl(lane);

/**
 * What an earlier run kept.
 * @param {Map<string, unknown>} records
 * @param {(wall: number) => number} moment when a reading of the wall clock is; a past one is not after the present
 * @param {Set<string>} [taken] messages that the application took in the end
 * @returns {{sessions: Map<string, import("../session/lanes.js").Kept>, got: object[]}}
 */
export function restore(records, moment, taken = new Set()) {
  /** @type {Map<string, {messages: KeptMessage[], streams: Map<number, any>, inbounds: Map<number, Inbound>}>} */
  const found = new Map();
  const of = (peer) => {
    if (!found.has(peer)) found.set(peer, { messages: [], streams: new Map(), inbounds: new Map() });
    return found.get(peer);
  };
  const got = [];
  for (const [key, value] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [kind, peer, word] = key.split("/");
    const lane = word === undefined ? PLAIN : Number(word);
    if (kind === "got" && !taken.has(key)) got.push(value);
    if (kind === "msg") of(peer).messages.push(value);
    if (kind === "out" && isKept(lane)) of(peer).streams.set(lane, value);
    if (kind === "in" && isKept(lane)) {
      const inbound = new Inbound(lane, SESSION.largestMessage);
      inbound.restore(value);
      of(peer).inbounds.set(lane, inbound);
    }
  }
  const sessions = new Map();
  for (const [peer, { messages, streams, inbounds }] of found) {
    const outbounds = new Map([...streams].map(([lane, stream]) => [lane, restored(lane, stream, messages, moment)]));
    const numbers = [...streams.values()].map(({ nextMessage }) => nextMessage).concat(messages.map(({ number }) => number + 1), 1);
    // What was known of the member holds until its record comes: what is said meanwhile stays in the order of its lane.
    const knows = (what) => [...streams.values()].some((stream) => stream[what]) || undefined;
    sessions.set(peer, { outbounds, inbounds, nextMessage: Math.max(...numbers), knowsLanes: knows("knowsLanes"), takesLaneMail: knows("takesLanes") });
  }
  return { sessions, got };
}

/** A stream of ours taken up again. @param {number} lane @param {{stream: bigint, next: number, nextMessage: number}} kept @param {KeptMessage[]} messages */
function restored(lane, { stream, next, nextMessage }, messages, moment) {
  const waiting = messages.filter((message) => (message.lane ?? PLAIN) === lane);
  const outbound = new Outbound(lane, stream, waiting[0]?.sequence ?? next, nextMessage);
  for (const { number, sequence, content, isText, deadline, fragments, isWithdrawn } of waiting) {
    if (lane !== PLAIN) outbound.fillGap(sequence);
    if (isWithdrawn) outbound.enqueueWithdrawn(number, fragments ?? 1);
    else outbound.enqueue(content, isText, { number, deadline: deadline ? moment(deadline) : undefined });
  }
  if (lane !== PLAIN) outbound.fillGap(next);
  // Everything so far may have left already.
  outbound.markSent(outbound.next);
  return outbound;
}
