// What has come from another member in one lane: puts messages together and hands each on once, in order or as they are whole.

import { join, Writer } from "../base/bytes.js";
import { covers, FARTHEST, Flag, Outcome } from "./frame.js";
import { isOrdered, windowOf } from "./lane.js";

/** With so many outcomes that the writer has not confirmed nothing more is taken. */
const MOST_OUTCOMES = 1_024;
/** It was more than is kept. */
const DROPPED = 128;
const NOTHING = new Uint8Array();

/**
 * One whole message; `last` is where its last fragment stands.
 * @typedef {{number: number, isText: boolean, content: Uint8Array, last: number}} Whole
 *
 * What is noted of a lane: everything before `next` was handed on or has an outcome, and so has, as a bitmap, what of `beyond`
 * comes at and after it.
 * @typedef {object} Note
 * @property {bigint} stream
 * @property {number} next
 * @property {Uint8Array} [beyond]
 * @property {{sequence: number, message: number, code: number}[]} [outcomes]
 */

export class Inbound {
  /** @type {bigint | null} */
  stream = null;
  /** The next sequence number in order: all before it have arrived. */
  expected = 1;
  /** What has been handed on and noted durably. @type {Required<Note>} */
  note = { stream: 0n, next: 1, beyond: NOTHING, outcomes: [] };
  /** Where the first fragment of the message being put together stands: what a restart must ask for again. */
  #messageStart = 1;
  /** Fragments that came early; in lanes without order all of messages that are not whole. @type {Map<number, import("./frame.js").DataFrame>} */
  #early = new Map();
  #earlyBytes = 0;
  /** The message being put together. @type {Writer | null} */
  #assembly = null;
  /** Why what comes until the end of the message is not kept. @type {"unknown" | "tooLarge" | "withdrawn" | null} */
  #discarding = null;
  /** In lanes without order: what has been handed on at and after `#messageStart`. @type {Set<number>} */
  #handed = new Set();
  #outcomes = [];
  /** Grows with each change of what is to be noted beside `durableNext`. */
  #revision = 0;
  #told = { stream: null, next: 0, revision: 0 };
  #largestMessage;

  /** @param {number} lane @param {number} largestMessage in bytes */
  constructor(lane, largestMessage) {
    this.lane = lane;
    this.#largestMessage = largestMessage;
  }

  /** A stream taken up again after a restart. @param {Note} note */
  restore({ stream, next, beyond = NOTHING, outcomes = [] }) {
    this.stream = stream;
    this.note = { stream, next, beyond, outcomes };
    this.expected = this.#messageStart = next;
    this.#outcomes = [...outcomes];
    this.#told = { stream, next, revision: this.#revision };
    if (isOrdered(this.lane)) return;
    beyond.forEach((byte, index) => {
      for (let bit = 0; bit < 8; bit += 1) if (byte & (1 << bit)) this.#handed.add(next + index * 8 + bit);
    });
    while (this.#handed.has(this.expected)) this.expected += 1;
  }

  /** The bytes of messages that are not whole. */
  get heldBytes() {
    return this.#earlyBytes + (this.#assembly?.length ?? 0);
  }

  /**
   * Takes a fragment.
   * @param {import("./frame.js").DataFrame} frame
   * @param {number} [budget] how many bytes more may be held
   * @returns {Whole[]} the messages it completes, in order
   */
  receive(frame, budget = Infinity) {
    // The writer keeps what was not noted durably here: if its base is ahead, we have lost what we noted.
    if (this.stream !== frame.stream || frame.base > this.expected) this.#begin(frame);
    if (frame.sequence < this.expected || frame.sequence - this.expected >= windowOf(this.lane)) return [];
    return isOrdered(this.lane) ? this.#receiveInOrder(frame, budget) : this.#receiveInAnyOrder(frame, budget);
  }

  /** The writer has to confirm outcomes before more is taken. */
  get #isFull() {
    return this.#outcomes.length >= MOST_OUTCOMES;
  }

  /**
   * Whether fragments that come one after the other, as mail brings them, are all of use now, or have been before.
   * @param {import("./frame.js").DataFrame[]} frames
   */
  takes(frames) {
    const [first] = frames;
    if (!first) return true;
    if (this.#isFull) return false;
    const isKnown = first.stream === this.stream && first.base <= this.expected;
    let next = isKnown ? this.expected : first.base;
    for (const { sequence } of frames) {
      if (sequence < next) continue;
      if (sequence - next >= (isOrdered(this.lane) ? 1 : windowOf(this.lane))) return false;
      if (sequence === next) next += 1;
      while (isKnown && (this.#early.has(next) || this.#handed.has(next))) next += 1;
    }
    return true;
  }

  /** Whether a fragment is noted for good, or of a stream that is over. @param {import("./frame.js").DataFrame} frame */
  isDurable({ stream, sequence }) {
    return stream !== this.stream || covers({ durable: this.note.next, bitmap: this.note.beyond }, sequence);
  }

  /** The writer knows the outcomes of all before `base`. */
  confirm(base) {
    if (!this.#outcomes.length || this.#outcomes[0].sequence >= base) return;
    const isOpen = ({ sequence }) => sequence >= base;
    this.#outcomes = this.#outcomes.filter(isOpen);
    this.note = { ...this.note, outcomes: this.note.outcomes.filter(isOpen) };
  }

  /** A message that was just completed is not handed on after all. @param {{number: number, last: number}} message */
  refuse({ number, last }) {
    this.#addOutcome(last, number, Outcome.refused);
  }

  #addOutcome(sequence, message, code) {
    this.#outcomes.push({ sequence, message, code });
    this.#revision += 1;
  }

  // What is noted.

  /** Everything before the message under way: what a restart of this member would know. */
  get durableNext() {
    if (!isOrdered(this.lane)) return this.#messageStart;
    return this.#assembly || this.#discarding ? this.#messageStart : this.expected;
  }

  /** What is to be noted, if that has changed since the last call. @returns {Required<Note> | null} */
  pollNote() {
    const { stream, durableNext: next } = this;
    if (stream === null || next < this.note.next) return null;
    const told = this.#told;
    if (told.stream === stream && told.next === next && told.revision === this.#revision) return null;
    this.#told = { stream, next, revision: this.#revision };
    return { stream, next, beyond: this.#bitmap, outcomes: [...this.#outcomes] };
  }

  get #bitmap() {
    let length = 0;
    const bits = [];
    for (const sequence of this.#handed) {
      const bit = sequence - this.#messageStart;
      if (bit >= FARTHEST) continue;
      bits.push(bit);
      length = Math.max(length, (bit >> 3) + 1);
    }
    const bitmap = new Uint8Array(length);
    for (const bit of bits) bitmap[bit >> 3] |= 1 << (bit & 7);
    return bitmap;
  }

  /** What was handed on is durable: its sender may forget it. @param {Required<Note>} note @returns {boolean} whether that is news */
  commit(note) {
    if (note.stream !== this.stream || note.next > this.expected || note.next < this.note.next) return false;
    this.note = note;
    return true;
  }

  /**
   * What the sender is to be told; `null` before anything came.
   * @param {boolean} isPaused the application does not keep up: no more than is under way should come
   * @param {boolean} knowsLanes the sender knows more than how far its stream has come
   * @returns {import("./frame.js").Acknowledgement | null}
   */
  acknowledgement(isPaused, knowsLanes = true) {
    return this.#acknowledgement(this.note, isPaused || this.#isFull ? 0 : windowOf(this.lane), knowsLanes);
  }

  /** As {@link acknowledgement}, of all that was handed on, noted or not. */
  lastAcknowledgement(knowsLanes) {
    const next = Math.max(this.durableNext, this.note.next);
    return this.#acknowledgement({ next, beyond: this.#bitmap, outcomes: this.#outcomes }, 0, knowsLanes);
  }

  #acknowledgement({ next, beyond, outcomes }, window, knowsLanes) {
    if (this.stream === null) return null;
    return {
      type: /** @type {const} */ ("acknowledgement"), lane: this.lane, stream: this.stream, received: this.expected, durable: next,
      window, outcomes: knowsLanes ? outcomes : [], bitmap: knowsLanes ? beyond : NOTHING,
    };
  }

  #begin(frame) {
    this.stream = frame.stream;
    this.expected = this.#messageStart = frame.base;
    this.note = { stream: frame.stream, next: frame.base, beyond: NOTHING, outcomes: [] };
    this.#told = { stream: frame.stream, next: frame.base, revision: this.#revision };
    this.#early.clear();
    this.#earlyBytes = 0;
    this.#handed.clear();
    this.#outcomes = [];
    this.#end();
  }

  #end() {
    this.#assembly = null;
    this.#discarding = null;
  }

  // In order.

  #receiveInOrder(frame, budget) {
    if (frame.sequence > this.expected) {
      const size = frame.payload.length;
      if (!this.#early.has(frame.sequence) && size <= budget && this.#earlyBytes + size <= 2 * this.#largestMessage) {
        this.#earlyBytes += size;
        this.#early.set(frame.sequence, frame);
      }
      return [];
    }
    /** @type {Whole[]} */
    const messages = [];
    this.#accept(frame, messages, budget);
    for (let next; (next = this.#early.get(this.expected)); ) {
      this.#early.delete(this.expected);
      this.#earlyBytes -= next.payload.length;
      this.#accept(next, messages, budget);
    }
    return messages;
  }

  #accept(frame, messages, budget) {
    if (frame.flags & Flag.withdrawn) {
      if (!this.#assembly && !this.#discarding) this.#messageStart = this.expected;
      this.#end();
      this.#discarding = "withdrawn";
    } else if (frame.flags & Flag.first) {
      this.#messageStart = this.expected;
      this.#end();
      this.#assembly = new Writer().append(frame.payload);
    } else if (this.#assembly) {
      this.#assembly.append(frame.payload);
    } else if (!this.#discarding) {
      this.#messageStart = this.expected;
      this.#discarding = "unknown";
    }
    const sequence = this.expected;
    this.expected += 1;
    // Taken off the sender's hands, but not handed on.
    if (this.#assembly && (this.#assembly.length > this.#largestMessage || frame.payload.length > budget)) {
      this.#end();
      this.#discarding = "tooLarge";
    }
    if (!(frame.flags & Flag.last)) return;
    if (this.#assembly) messages.push(whole(frame, this.#assembly.bytes));
    else if (this.#discarding !== "unknown") this.#addOutcome(sequence, frame.message, Outcome[this.#discarding]);
    this.#end();
  }

  // In any order.

  #receiveInAnyOrder(frame, budget) {
    if (this.#early.has(frame.sequence) || this.#handed.has(frame.sequence)) return [];
    const size = frame.payload.length;
    const isDropped = size > budget || this.#earlyBytes + size > 2 * this.#largestMessage;
    const kept = isDropped ? { ...frame, payload: NOTHING, flags: frame.flags | DROPPED } : frame;
    this.#earlyBytes += kept.payload.length;
    this.#early.set(kept.sequence, kept);
    const message = this.#whole(kept);
    while (this.#early.has(this.expected) || this.#handed.has(this.expected)) this.expected += 1;
    while (this.#handed.delete(this.#messageStart)) this.#messageStart += 1;
    return message ? [message] : [];
  }

  /** The message that a fragment completes. @returns {Whole | null} */
  #whole(frame) {
    let [first, last] = [frame, frame];
    while (!(first.flags & Flag.first)) {
      first = this.#early.get(first.sequence - 1);
      if (first?.message !== frame.message) return null;
    }
    while (!(last.flags & Flag.last)) {
      last = this.#early.get(last.sequence + 1);
      if (last?.message !== frame.message) return null;
    }
    const pieces = [];
    let code = 0;
    for (let sequence = first.sequence; sequence <= last.sequence; sequence += 1) {
      const piece = this.#early.get(sequence);
      this.#early.delete(sequence);
      this.#earlyBytes -= piece.payload.length;
      pieces.push(piece.payload);
      if (piece.flags & Flag.withdrawn) code = Outcome.withdrawn;
      if (piece.flags & DROPPED) code ||= Outcome.tooLarge;
      this.#handed.add(sequence);
    }
    this.#revision += 1;
    const content = join(...pieces);
    if (content.length > this.#largestMessage) code ||= Outcome.tooLarge;
    if (!code) return whole(last, content);
    this.#addOutcome(last.sequence, frame.message, code);
    return null;
  }
}

/** @returns {Whole} */
const whole = ({ message, flags, sequence }, content) => ({ number: message, isText: Boolean(flags & Flag.text), content, last: sequence });

