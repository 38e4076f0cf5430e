// One byte stream between two members: two directions, each with its own offsets (docs/protocol.md, "Byte streams").

import { join } from "../base/bytes.js";
import { PIECE_OVERHEAD } from "./frame.js";
import { FRAGMENT_BYTES } from "./outbound.js";

/** How much may be written before credit has been given. */
export const FIRST_LIMIT = 64 * 1024;
/** How many pieces that came early are kept. */
const MOST_EARLY = 1_024;

/** What is written to a byte stream and has not come yet. */
export class SendingDirection {
  /** How much was written, and how much of it has come. */
  written = 0;
  acknowledged = 0;
  hasEnded = false;
  /** Everything has come, the end too. */
  isOver = false;
  /** The application was told that there is no room. */
  isBlocked = false;
  /** Counts chunks: the number of the first that is held. */
  first = 0;
  /** The next chunk to be sent on each path; 0 for the first there is. */
  cursors = { connection: 0, relay: 0, mesh: 0 };
  /** @type {{offset: number, bytes: Uint8Array, isEnd: boolean}[]} */
  #chunks = [];
  /** Chunks before this have been sent once. */
  #sentBefore = 0;

  /** @param {number} limit how far the reader takes bytes */
  constructor(limit) {
    this.limit = limit;
  }

  /** Bytes that have not come. */
  get held() {
    return this.written - this.acknowledged;
  }

  /**
   * Adds bytes, as many as fit under `most`.
   * @param {Uint8Array} bytes @param {number} most
   * @returns {number} how many it took
   */
  write(bytes, most) {
    if (this.hasEnded) return 0;
    const count = Math.min(bytes.length, Math.max(0, most - this.held));
    // The application may change what it has given.
    const taken = bytes.slice(0, count);
    let at = 0;
    const last = this.#chunks.at(-1);
    if (last && this.first + this.#chunks.length > this.#sentBefore) {
      // What has not left yet takes more.
      at = Math.min(count, FRAGMENT_BYTES - last.bytes.length);
      last.bytes = join(last.bytes, taken.subarray(0, at));
    }
    for (; at < count; at += FRAGMENT_BYTES) {
      this.#chunks.push({ offset: this.written + at, bytes: taken.subarray(at, at + FRAGMENT_BYTES), isEnd: false });
    }
    this.written += count;
    return count;
  }

  /** Nothing more will be written. */
  finish() {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#chunks.push({ offset: this.written, bytes: new Uint8Array(), isEnd: true });
  }

  #end(number) {
    const { offset, bytes } = this.#chunks[number - this.first];
    return offset + bytes.length;
  }

  /** The number of the next chunk that is to go by a path now. @returns {number | null} */
  next(carrier) {
    const number = Math.max(this.cursors[carrier], this.first);
    return number < this.first + this.#chunks.length && this.#end(number) <= this.limit ? number : null;
  }

  sizeOf(number) {
    return PIECE_OVERHEAD + this.#chunks[number - this.first].bytes.length;
  }

  /** @param {number} number @param {bigint} id @returns {import("./frame.js").Piece} */
  send(number, id, carrier) {
    this.cursors[carrier] = number + 1;
    this.#sentBefore = Math.max(this.#sentBefore, number + 1);
    const { offset, bytes, isEnd } = this.#chunks[number - this.first];
    return { type: "bytes", id, offset, isEnd, payload: bytes };
  }

  /** @returns {boolean} whether the reader says what can be */
  credit(received, limit) {
    if (received > this.written) return false;
    this.limit = Math.max(this.limit, limit);
    this.acknowledged = Math.max(this.acknowledged, received);
    let count = 0;
    for (; count < this.#chunks.length; count += 1) {
      if (this.#chunks[count].isEnd || this.#end(this.first + count) > this.acknowledged) break;
    }
    this.#chunks.splice(0, count);
    this.first += count;
    return true;
  }

  /** The reader has all of it. */
  finished() {
    this.acknowledged = this.written;
    this.first += this.#chunks.length;
    this.#chunks = [];
    this.isOver = true;
  }
}

/** What has come of a byte stream and was not read yet. */
export class ReceivingDirection {
  /** Everything before this has come. */
  received = 0;
  /** How much the application has taken. */
  consumed = 0;
  /** The writer was told that it has come whole. */
  wasConfirmed = false;
  /** The application has read to the end. */
  isOver = false;
  /** @type {Map<number, Uint8Array>} */
  #early = new Map();
  #earlyBytes = 0;
  /** @type {Uint8Array[]} */
  #ready = [];
  /** @type {number | null} */
  #end = null;

  /** @param {number} limit how far the writer may go */
  constructor(limit) {
    this.limit = limit;
  }

  /** Takes a piece. @param {import("./frame.js").Piece} piece @returns {boolean} whether it is within the rules */
  receive({ offset, isEnd, payload }) {
    const end = offset + payload.length;
    if (end > this.limit || end > (this.#end ?? Infinity)) return false;
    if (isEnd) {
      if ((this.#end ?? end) !== end || this.received > end) return false;
      this.#end = end;
    }
    if (end <= this.received) return true;
    if (offset > this.received) {
      this.#keepEarly(offset, payload);
      return true;
    }
    this.#take(payload, offset);
    for (let early; (early = this.#early.get(this.received)); ) {
      this.#early.delete(this.received);
      this.#earlyBytes -= early.length;
      this.#take(early, this.received);
    }
    return true;
  }

  #keepEarly(offset, payload) {
    const known = this.#early.get(offset)?.length ?? 0;
    const bytes = this.#earlyBytes + payload.length - known;
    // Pieces that do not overlap fit between what has come and the limit.
    if (this.#early.size >= MOST_EARLY || known >= payload.length || bytes > this.limit - this.received) return;
    this.#early.set(offset, payload);
    this.#earlyBytes = bytes;
  }

  #take(payload, offset) {
    const known = this.received - offset;
    this.#ready.push(known ? payload.subarray(known) : payload);
    this.received += payload.length - known;
  }

  /** Whether all has come and the writer is to be told so, once. */
  confirms() {
    if (this.wasConfirmed || this.#end !== this.received) return false;
    this.wasConfirmed = true;
    this.#early.clear();
    this.#earlyBytes = 0;
    return true;
  }

  /** The next bytes; `null` when there are none now. @returns {Uint8Array | null} */
  read() {
    const bytes = this.#ready.shift();
    if (!bytes) {
      if (this.wasConfirmed) this.isOver = true;
      return null;
    }
    this.consumed += bytes.length;
    return bytes;
  }

  /** Whether something can be read, or the end. */
  get isReadable() {
    return this.#ready.length > 0 || (this.wasConfirmed && !this.isOver);
  }

  /** Whether all has come and was read, but for the end. */
  get isAtEnd() {
    return this.wasConfirmed && !this.#ready.length;
  }

  /** Lets the writer go on. @param {number} window @returns {boolean} whether it is worth telling */
  grant(window) {
    const next = this.consumed + window;
    if (this.wasConfirmed || next <= this.limit || next - this.limit < Math.floor(window / 2)) return false;
    this.limit = next;
    return true;
  }
}

export class ByteStream {
  /** @param {bigint} id @param {import("./lane.js").Priority} priority @param {number} sendingLimit @param {number} receivingLimit */
  constructor(id, priority, sendingLimit, receivingLimit) {
    this.id = id;
    this.priority = priority;
    this.sending = new SendingDirection(sendingLimit);
    this.receiving = new ReceivingDirection(receivingLimit);
  }

  /** Both have come whole, and the application knows. */
  get isOver() {
    return this.sending.isOver && this.receiving.isOver;
  }
}
