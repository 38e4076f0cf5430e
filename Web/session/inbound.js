// What has come from another member: fragments put in order, each once, and messages put together.

import { join } from "../base/bytes.js";
import { Flag } from "./frame.js";

/** How far ahead of the next expected fragment one is kept. */
export const WINDOW = 1024;

export class Inbound {
  /** @type {bigint | null} */
  stream = null;
  /** The next sequence number in order. */
  expected = 1;
  /** Everything before this has been handed on and noted durably. */
  committed = 1;
  /** Where the message being put together began: what a restart must ask for again. */
  #messageStart = 1;
  #early = new Map();
  #earlyBytes = 0;
  #assembly = [];
  #assembledBytes = 0;
  #isAssembling = false;
  #isDiscarding = false;
  #largestMessage;

  /** @param {number} largestMessage in bytes */
  constructor(largestMessage) {
    this.#largestMessage = largestMessage;
  }

  /** A stream taken up again after a restart: everything before `next` was handed on before. */
  restore(stream, next) {
    this.stream = stream;
    this.expected = this.committed = this.#messageStart = next;
  }

  /**
   * Takes a fragment.
   * @param {import("./frame.js").DataFrame} frame
   * @returns {{number: number, isText: boolean, content: Uint8Array}[]} the messages it completes, in order
   */
  receive(frame) {
    // The writer keeps what was not noted durably here: if its base is ahead, we have lost what we noted.
    if (this.stream !== frame.stream || frame.base > this.expected) this.#begin(frame);
    if (frame.sequence < this.expected || frame.sequence - this.expected >= WINDOW) return [];
    const messages = [];
    if (frame.sequence > this.expected) {
      const size = frame.payload.length;
      if (!this.#early.has(frame.sequence) && this.#earlyBytes + size <= 2 * this.#largestMessage) {
        this.#earlyBytes += size;
        this.#early.set(frame.sequence, frame);
      }
      return messages;
    }
    this.#accept(frame, messages);
    for (let next; (next = this.#early.get(this.expected)); ) {
      this.#early.delete(this.expected);
      this.#earlyBytes -= next.payload.length;
      this.#accept(next, messages);
    }
    return messages;
  }

  /** Everything before the message under way: what a restart of this member would know. */
  get durableNext() {
    return this.#isAssembling || this.#isDiscarding ? this.#messageStart : this.expected;
  }

  /** What was handed on before `next` is durable: its sender may forget it. */
  commit(stream, next) {
    if (stream === this.stream && next <= this.expected) this.committed = Math.max(this.committed, next);
  }

  /** What the sender is to be told; `null` before anything came. @param {boolean} isPaused */
  acknowledgement(isPaused) {
    if (this.stream === null) return null;
    return {
      type: "acknowledgement", stream: this.stream, received: this.expected, durable: this.committed,
      window: isPaused ? 0 : WINDOW,
    };
  }

  #begin(frame) {
    this.stream = frame.stream;
    this.expected = this.committed = this.#messageStart = frame.base;
    this.#early.clear();
    this.#earlyBytes = 0;
    this.#end();
  }

  #end() {
    this.#assembly = [];
    this.#assembledBytes = 0;
    this.#isAssembling = this.#isDiscarding = false;
  }

  #accept(frame, messages) {
    if (frame.flags & Flag.first) {
      this.#messageStart = this.expected;
      this.#end();
      this.#isAssembling = true;
    }
    if (this.#isAssembling) {
      this.#assembly.push(frame.payload);
      this.#assembledBytes += frame.payload.length;
    }
    this.expected += 1;
    // Over the bound, or begun before we knew the stream: taken off the sender's hands, but not handed on.
    if (this.#assembledBytes > this.#largestMessage || !this.#isAssembling) {
      this.#end();
      this.#isDiscarding = true;
    }
    if (!(frame.flags & Flag.last)) return;
    if (this.#isAssembling) {
      const content = join(...this.#assembly);
      messages.push({ number: frame.message, isText: Boolean(frame.flags & Flag.text), content });
    }
    this.#end();
  }
}
