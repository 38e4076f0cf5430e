// What one member has to say to another: numbered fragments, kept until acknowledged.

import { Flag } from "./frame.js";
import { WINDOW } from "./inbound.js";

/** The longest fragment, in bytes. */
export const FRAGMENT_BYTES = 8 * 1024;

export class Outbound {
  /** The lowest sequence number that the running peer has not got. */
  received;
  /** Bytes of payload that wait for acknowledgement. */
  bytes = 0;
  #window = WINDOW;
  #fragments = [];

  /** @param {bigint} stream a random number @param {number} [base] @param {number} [nextMessage] */
  constructor(stream, base = 1, nextMessage = 1) {
    this.stream = stream;
    /** The lowest sequence number that is not durably acknowledged. */
    this.base = base;
    /** The next sequence number to be given out. */
    this.next = base;
    this.received = base;
    /** Fragments before this may leave: what is to survive a restart leaves when it is kept. */
    this.released = base;
    this.nextMessage = nextMessage;
  }

  get isEmpty() {
    return this.base === this.next;
  }

  /**
   * Cuts a message into fragments, which leave after {@link release}.
   * @param {Uint8Array} content @param {boolean} isText
   * @returns {{message: number, sequence: number}} its number, and the first of its sequence numbers
   */
  enqueue(content, isText) {
    const message = this.nextMessage;
    const sequence = this.next;
    this.nextMessage += 1;
    let at = 0;
    do {
      const end = Math.min(at + FRAGMENT_BYTES, content.length);
      const flags = (isText ? Flag.text : 0) | (at === 0 ? Flag.first : 0) | (end === content.length ? Flag.last : 0);
      this.#fragments.push({ message, flags, payload: content.subarray(at, end) });
      this.next += 1;
      at = end;
    } while (at < content.length);
    this.bytes += content.length;
    return { message, sequence };
  }

  /** What was enqueued before this number is kept, and may leave. @param {number} sequence */
  release(sequence) {
    this.released = Math.max(this.released, Math.min(sequence, this.next));
  }

  /** @param {number} sequence @returns {import("./frame.js").DataFrame | null} `null` when acknowledged, held or not there */
  fragment(sequence) {
    if (sequence < this.base || sequence >= this.released) return null;
    const { message, flags, payload } = this.#fragments[sequence - this.base];
    return { type: "data", stream: this.stream, sequence, base: this.base, message, flags, payload };
  }

  /**
   * Takes note of how far the stream has arrived; what was never sent, or is of another stream, changes nothing.
   * @param {import("./frame.js").Acknowledgement} frame
   * @returns {number[]} the messages that have now arrived for good
   */
  acknowledge(frame) {
    if (frame.stream !== this.stream || frame.received > this.next) return [];
    if (frame.received >= this.received) {
      this.received = frame.received;
      this.#window = Math.min(frame.window, WINDOW);
    }
    const count = Math.max(0, frame.durable - this.base);
    const done = this.#fragments.splice(0, count);
    this.base += count;
    const delivered = [];
    for (const { message, flags, payload } of done) {
      this.bytes -= payload.length;
      if (flags & Flag.last) delivered.push(message);
    }
    return delivered;
  }

  /** The peer runs anew: it has what was durable, no more. */
  peerRestarted() {
    this.received = this.base;
    this.#window = WINDOW;
  }

  /** Whether the peer takes the fragment with this number now. @param {number} sequence */
  isInWindow(sequence) {
    return sequence < this.received + this.#window;
  }
}
