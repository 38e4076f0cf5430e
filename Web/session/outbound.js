// What one member has to say to another in one lane: numbered fragments, kept until acknowledged.

import { Deadlines } from "../base/deadlines.js";
import { covers, DATA_OVERHEAD, Flag, Outcome } from "./frame.js";
import { isOrdered, PLAIN, windowOf } from "./lane.js";

/** The longest fragment, in bytes. */
export const FRAGMENT_BYTES = 8 * 1024;

/** It need not be sent any more. */
const DROPPED = 128;
/** What stands for a fragment of a message that is over: a reader that has lost what it noted passes over it. */
const TOMBSTONE = Flag.first | Flag.last | Flag.withdrawn;
const NOTHING = new Uint8Array();

/**
 * A message that waits for acknowledgement.
 * @typedef {object} Entry
 * @property {number} number
 * @property {number} first its fragments
 * @property {number} last
 * @property {number} size its bytes
 * @property {boolean} isSettled the application knows what became of it
 * @property {boolean} isWithdrawn
 * @property {number} deadline `Infinity` for none
 * @property {boolean} isOver the reader is through with it, though not with all before it
 */

/**
 * Why a message was not taken by the other.
 * @typedef {"refused" | "tooLarge" | "notAdmitted" | "kicked" | "blocked" | "blockedHere"} Rejection
 */

/**
 * What became of a message; no outcome when the application knows it already.
 * @typedef {{number: number, outcome: "delivered" | "expired" | "rejected" | null, reason?: Rejection}} Settled
 */

export class Outbound {
  /** Bytes of payload that wait for acknowledgement. */
  bytes = 0;
  /** The next fragment to be sent on each path; 0 for the first there is. */
  cursors = { connection: 0, relay: 0, mesh: 0 };
  #window;
  #fragments = [];
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Deadlines<number>} */
  #deadlines = new Deadlines();

  /** @param {number} lane @param {bigint} stream a random number @param {number} [base] @param {number} [nextMessage] */
  constructor(lane, stream, base = 1, nextMessage = 1) {
    this.lane = lane;
    this.stream = stream;
    /** The lowest sequence number that is not durably acknowledged. */
    this.base = base;
    /** The next sequence number to be given out. */
    this.next = base;
    /** The lowest sequence number that the running peer has not got. */
    this.received = base;
    /** Fragments before this may leave: what is to survive a restart leaves when it is kept. */
    this.released = base;
    /** Fragments before this may have left. */
    this.sentBefore = base;
    this.nextMessage = nextMessage;
    this.#window = windowOf(lane);
  }

  get isEmpty() {
    return this.base === this.next;
  }

  // Messages.

  /**
   * Cuts a message into fragments.
   * @param {Uint8Array} content @param {boolean} isText
   * @param {{number?: number, deadline?: number, isHeld?: boolean}} [options] `number` names it, and grows; what is held leaves
   *   only after {@link release}
   * @returns {Entry}
   */
  enqueue(content, isText, { number = this.nextMessage, deadline = Infinity, isHeld = false } = {}) {
    const first = this.next;
    let at = 0;
    do {
      const end = Math.min(at + FRAGMENT_BYTES, content.length);
      const flags = (isText ? Flag.text : 0) | (at === 0 ? Flag.first : 0) | (end === content.length ? Flag.last : 0);
      this.#append(number, flags, content.subarray(at, end));
      at = end;
    } while (at < content.length);
    if (deadline < Infinity) this.#deadlines.add(number, deadline);
    return Object.assign(this.#finish(number, first, content.length, isHeld), { deadline });
  }

  /** Takes up a message of an earlier run that was withdrawn then. @param {number} number @param {number} count of fragments */
  enqueueWithdrawn(number, count) {
    const first = this.next;
    for (let index = 0; index < Math.max(1, count); index += 1) {
      this.#append(number, this.#withdrawnFlags(index === 0, index === Math.max(1, count) - 1), NOTHING);
    }
    this.#finish(number, first, 0, false).isWithdrawn = true;
  }

  /** Takes up a stream in which messages were through before others ahead of them: their numbers stay used. */
  fillGap(before) {
    while (this.next < before) this.#append(0, TOMBSTONE, NOTHING);
    this.released = this.next;
  }

  #append(message, flags, payload) {
    this.#fragments.push({ message, flags, payload });
    this.next += 1;
  }

  #finish(number, first, size, isHeld) {
    const entry = { number, first, last: this.next - 1, size, deadline: Infinity, isSettled: false, isWithdrawn: false, isOver: false };
    this.#entries.push(entry);
    this.nextMessage = number + 1;
    this.bytes += size;
    if (!isHeld) this.released = this.next;
    return entry;
  }

  /** What was enqueued before this number is kept, and may leave. @param {number} sequence */
  release(sequence) {
    this.released = Math.max(this.released, Math.min(sequence, this.next));
  }

  /** What is before this has left, by a way that is no path or in an earlier run. @param {number} sequence */
  markSent(sequence) {
    this.sentBefore = Math.max(this.sentBefore, Math.min(sequence, this.next));
  }

  // Fragments.

  /** @param {number} sequence @returns {import("./frame.js").DataFrame | null} `null` when acknowledged, held or not there */
  fragment(sequence) {
    if (sequence < this.base || sequence >= this.released) return null;
    const { message, flags, payload } = this.#fragments[sequence - this.base];
    return { type: "data", lane: this.lane, stream: this.stream, sequence, base: this.base, message, flags, payload };
  }

  /** The number of the next fragment that is to go by a path now. @returns {number | null} */
  nextSequence(carrier) {
    let sequence = Math.max(this.cursors[carrier], this.received);
    const limit = Math.min(this.released, this.received + Math.min(this.#window, windowOf(this.lane)));
    while (sequence < limit && this.#fragments[sequence - this.base].flags & DROPPED) sequence += 1;
    return sequence < limit ? sequence : null;
  }

  /** The bytes that a fragment takes in a packet. @param {number} sequence */
  sizeOf(sequence) {
    return DATA_OVERHEAD + this.#fragments[sequence - this.base].payload.length;
  }

  /**
   * The number of the first fragment from there on that can be left as mail.
   * @param {number} start
   * @param {boolean} knowsDeadlines the reader of mail does; else nothing is left from a message on that may yet be withdrawn
   * @param {boolean} knowsLanes the reader knows what withdrawn means; else a message that has left cannot be
   * @returns {number | null}
   */
  nextInMail(start, knowsDeadlines, knowsLanes) {
    let sequence = Math.max(start, this.base);
    while (sequence < this.released && this.#fragments[sequence - this.base].flags & DROPPED) sequence += 1;
    if (sequence >= this.released) return null;
    const entry = knowsDeadlines ? undefined : this.#entry(this.#fragments[sequence - this.base].message);
    const mayBeWithdrawn = entry && entry.deadline < Infinity && !entry.isWithdrawn && (knowsLanes || entry.first >= this.sentBefore);
    return mayBeWithdrawn ? null : sequence;
  }

  /** When a message that is not withdrawn is no longer of use. @param {number} number */
  deadlineOf(number) {
    const entry = this.#entry(number);
    return !entry || entry.isWithdrawn ? Infinity : entry.deadline;
  }

  /** A fragment has gone by a path. */
  sent(sequence, carrier) {
    this.cursors[carrier] = sequence + 1;
    this.markSent(sequence + 1);
  }

  /** All that is not received goes out again by a path. */
  rewind(carrier) {
    this.cursors[carrier] = 0;
  }

  /** The peer runs anew: it has what was durable, no more. */
  peerRestarted() {
    this.received = this.base;
    this.#window = windowOf(this.lane);
    if (isOrdered(this.lane)) return;
    for (const fragment of this.#fragments) if (fragment.flags & DROPPED) fragment.flags = TOMBSTONE;
  }

  // Acknowledgements.

  /**
   * Takes note of how far the stream has arrived; what was never sent, or is of another stream, changes nothing.
   * @param {import("./frame.js").Acknowledgement} frame
   * @returns {Settled[]} the messages that are over
   */
  acknowledge(frame) {
    if (frame.stream !== this.stream || frame.received > this.next) return [];
    if (frame.received >= this.received) {
      this.received = frame.received;
      this.#window = frame.window;
    }
    /** @type {Settled[]} */
    const settled = [];
    const upTo = Math.min(frame.durable, this.next);
    let over = 0;
    while (over < this.#entries.length && this.#entries[over].last < upTo) {
      this.#settle(this.#entries[over], frame, settled);
      over += 1;
    }
    this.#entries.splice(0, over);
    for (const { payload } of this.#fragments.splice(0, Math.max(0, upTo - this.base))) {
      this.bytes -= payload.length;
      this.base += 1;
    }
    if (frame.bitmap.length) this.#settleBeyond(frame, settled);
    return settled;
  }

  #settleBeyond(frame, settled) {
    const end = frame.durable + frame.bitmap.length * 8;
    for (const entry of this.#entries) {
      if (entry.first >= end) break;
      // A message is handed on as a whole.
      if (entry.isOver || !covers(frame, entry.last) || !covers(frame, entry.first)) continue;
      this.#settle(entry, frame, settled);
      entry.isSettled = entry.isOver = true;
      this.#empty(entry, (flags) => flags | DROPPED);
    }
  }

  #settle({ number, isOver, isSettled }, frame, settled) {
    if (isOver) return;
    if (isSettled) return settled.push({ number, outcome: null });
    const code = frame.outcomes.find(({ message }) => message === number)?.code;
    if (code === undefined) return settled.push({ number, outcome: "delivered" });
    if (code === Outcome.withdrawn) return settled.push({ number, outcome: "expired" });
    return settled.push({ number, outcome: "rejected", reason: code === Outcome.tooLarge ? "tooLarge" : "refused" });
  }

  // Deadlines.

  /** When the next deadline passes. */
  get nextDeadline() {
    return this.#deadlines.next;
  }

  /**
   * Withdraws what is past its deadline.
   * @param {number} now @param {boolean} knowsLanes the reader knows what withdrawn means
   * @returns {{entry: Entry, isExpired: boolean}[]} expired is what cannot arrive any more; of the others the reader decides
   */
  expire(now, knowsLanes) {
    const withdrawals = [];
    for (let number; (number = this.#deadlines.popDue(now)) !== undefined; ) {
      const entry = this.#entry(number);
      if (!entry || entry.isSettled || entry.isWithdrawn) continue;
      // Who does not know what withdrawn means passes over fragments without a beginning.
      if (!knowsLanes && entry.first < this.sentBefore) continue;
      this.#withdraw(entry);
      entry.isSettled = entry.last >= this.sentBefore;
      withdrawals.push({ entry, isExpired: entry.isSettled });
    }
    this.#deadlines.trim((number) => this.#entry(number) !== undefined);
    return withdrawals;
  }

  #withdraw(entry) {
    entry.isWithdrawn = true;
    this.#empty(entry, (_, sequence) => this.#withdrawnFlags(sequence === entry.first, sequence === entry.last));
    entry.size = 0;
  }

  /**
   * Lets go of the payload of a message; its fragments stay, so that the numbers after them do.
   * @param {Entry} entry @param {(flags: number, sequence: number) => number} flagsOf what the flags of a fragment become
   */
  #empty(entry, flagsOf) {
    for (let sequence = Math.max(entry.first, this.base); sequence <= entry.last; sequence += 1) {
      const fragment = this.#fragments[sequence - this.base];
      this.bytes -= fragment.payload.length;
      fragment.payload = NOTHING;
      fragment.flags = flagsOf(fragment.flags, sequence);
    }
  }

  #withdrawnFlags(isFirst, isLast) {
    return Flag.withdrawn | (isFirst && this.lane !== PLAIN ? Flag.first : 0) | (isLast ? Flag.last : 0);
  }

  /** A message that waits. Numbers grow. @returns {Entry | undefined} */
  #entry(number) {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle].number < number) low = middle + 1;
      else high = middle;
    }
    return this.#entries[low]?.number === number ? this.#entries[low] : undefined;
  }

  /** How much of a message the running peer has, in bytes; `null` when it does not wait any more. */
  progress(number) {
    const entry = this.#entry(number);
    if (!entry) return null;
    const count = Math.max(0, Math.min(this.received, entry.last + 1) - entry.first);
    return { received: Math.min(count * FRAGMENT_BYTES, entry.size), size: entry.size };
  }

  /** The messages of which the application does not know yet what became of them. @returns {number[]} */
  get unsettled() {
    return this.#entries.filter(({ isSettled }) => !isSettled).map(({ number }) => number);
  }
}
