// What there is between two members beside messages: requests and byte streams (docs/protocol.md).

import { randomU64, utf8 } from "../base/bytes.js";
import { ByteStream, FIRST_LIMIT } from "./byte-stream.js";
import { controlBytes, parseControl, ResetCode, Status } from "./control.js";
import { controlLane, rankOf } from "./lane.js";
import { MOST_ASKED, Requests } from "./requests.js";

/** Bounds in bytes; those of the Swift implementation. */
const LIMITS = Object.freeze({
  /** What a control message holds beside its payload. */
  head: 1_024,
  /** How far a byte stream's writer may go beyond what was read. */
  streamWindow: 1 << 20,
  /** The most bytes of a byte stream that wait for acknowledgement. */
  streamBacklog: 1 << 20,
  /** The most that all byte streams of one member may bring unread, beside 64 KiB each. */
  unread: 16 << 20,
  streams: 256,
});

/** How a request ended. @typedef {"answered" | "failed" | "unknownAction" | "refused" | "busy" | "timedOut" | "interrupted" | "unsupported"} RequestOutcome */
const OUTCOMES = { [Status.result]: "answered", [Status.unknownAction]: "unknownAction", [Status.refused]: "refused", [Status.busy]: "busy" };

/** Why a request or a byte stream was not begun. */
export class ExchangeRefusal extends Error {}

export class Exchanges {
  #requests = new Requests();
  /** @type {ByteStream[]} */
  streams = [];
  #session;

  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.#session = session;
  }

  #say(message, priority) {
    this.#session.lanes.outbounds[controlLane(priority)].enqueue(controlBytes(message), false);
  }

  #tell(event) {
    this.#session.events.push(event);
  }

  /** An acknowledgement of a byte stream is due. */
  #acknowledge(id) {
    const { carrier, due } = this.#session;
    if (carrier) due.addStream(id, carrier, 0);
  }

  #mayBegin() {
    if (this.#session.lanes.knowsLanes === false) throw new ExchangeRefusal("it takes messages only: neither requests nor byte streams");
  }

  /** Whether bytes that were written have not come. */
  get isOwed() {
    return this.streams.some(({ sending }) => sending.held > 0 || (sending.hasEnded && !sending.isOver));
  }

  /** Nothing is under way between the two. */
  get isIdle() {
    return !this.#requests.asked.size && !this.#requests.answering.size && !this.streams.length;
  }

  // Requests.

  /**
   * Asks the member to do something; the answer comes as an event.
   * @param {string} action @param {Uint8Array} payload
   * @param {{limit: number, priority: import("./lane.js").Priority, now: number}} options `limit` in milliseconds, `Infinity` for none
   * @returns {bigint} what names the request
   */
  request(action, payload, { limit, priority, now }) {
    this.#mayBegin();
    const { lanes } = this.#session;
    rankOf(priority);
    if (this.#requests.asked.size >= MOST_ASKED || lanes.backlog + payload.length > lanes.limits.largestBacklog) {
      throw new ExchangeRefusal("too much waits for it already: ask when that has been answered");
    }
    if (payload.length > lanes.limits.largestMessage - LIMITS.head) {
      throw new ExchangeRefusal(`a request has ${lanes.limits.largestMessage - LIMITS.head} bytes at most`);
    }
    const id = randomU64();
    this.#requests.ask(id, priority, now + limit);
    const milliseconds = limit === Infinity ? 0 : Math.min(Math.max(1, Math.ceil(limit)), 0xffffffff);
    this.#say({ type: "request", id, limit: milliseconds, action, payload }, priority);
    return id;
  }

  /** Nobody waits for an answer any more; the member is told. @param {bigint} id */
  cancel(id) {
    const priority = this.#requests.endAsked(id);
    if (priority) this.#say({ type: "cancel", id }, priority);
  }

  /** @param {bigint} id @param {RequestOutcome} outcome @param {Uint8Array} [payload] */
  #endRequest(id, outcome, payload = new Uint8Array()) {
    const priority = this.#requests.endAsked(id);
    if (!priority) return;
    if (outcome === "timedOut") this.#say({ type: "cancel", id }, priority);
    this.#tell({ type: "response", id, outcome, payload });
  }

  /** Answers a request of the member, if it still waits. @param {bigint} id @param {number} status @param {Uint8Array} payload */
  answer(id, status, payload) {
    const priority = this.#requests.endAnswer(id);
    if (!priority) return;
    if (payload.length > this.#session.lanes.limits.largestMessage - LIMITS.head) {
      [status, payload] = [Status.failed, utf8("the result is too large")];
    }
    this.#say({ type: "response", id, status, payload }, priority);
  }

  /** Takes a control message. @param {Uint8Array} bytes @param {import("./lane.js").Priority} priority */
  take(bytes, priority) {
    const message = parseControl(bytes);
    switch (message?.type) {
      case "request":
        if (this.#requests.beginAnswer(message.id, priority)) this.#tell(message);
        else this.#say({ type: "response", id: message.id, status: Status.busy, payload: new Uint8Array() }, priority);
        break;
      case "response":
        this.#endRequest(message.id, OUTCOMES[message.status] ?? "failed", message.payload);
        break;
      case "cancel":
        if (this.#requests.endAnswer(message.id)) this.#tell({ type: "cancelled", id: message.id });
        break;
      case "open":
        this.#accept(message, priority);
        break;
      case "finished": {
        const stream = this.stream(message.id);
        if (!stream) break;
        stream.sending.finished();
        this.#tell({ type: "streamWritable", id: message.id });
        this.#forgetIfOver(stream);
        break;
      }
      case "reset":
        if (this.#remove(message.id)) this.#tell({ type: "streamEnded", id: message.id, code: message.code });
        break;
    }
  }

  // Byte streams.

  /** @param {bigint} id @returns {ByteStream | undefined} */
  stream(id) {
    return this.streams.find((stream) => stream.id === id);
  }

  #remove(id) {
    const stream = this.stream(id);
    if (stream) this.streams = this.streams.filter((each) => each !== stream);
    return stream;
  }

  /** Opens a byte stream to the member. @returns {bigint} what names it */
  open(name, priority) {
    this.#mayBegin();
    rankOf(priority);
    if (this.streams.length >= LIMITS.streams) throw new ExchangeRefusal("too many byte streams are open with it already");
    const id = randomU64();
    const limit = this.#window;
    this.streams.push(new ByteStream(id, priority, FIRST_LIMIT, limit));
    this.#say({ type: "open", id, limit, name }, priority);
    return id;
  }

  #accept({ id, limit, name }, priority) {
    if (this.stream(id)) return;
    if (this.streams.length >= LIMITS.streams) return this.#say({ type: "reset", id, code: ResetCode.tooMany }, priority);
    const stream = new ByteStream(id, priority, limit, FIRST_LIMIT);
    if (stream.receiving.grant(this.#window)) this.#acknowledge(id);
    this.streams.push(stream);
    this.#tell({ type: "streamOpened", id, name, priority });
  }

  /** How far the writer of one byte stream may go now: all that are there share what may be unread. */
  get #window() {
    const share = Math.floor(LIMITS.unread / Math.max(1, this.streams.length));
    return Math.max(FIRST_LIMIT, Math.min(LIMITS.streamWindow, share));
  }

  /**
   * Writes to a byte stream.
   * @returns {number | null} how many bytes were taken; when that is not all, `streamWritable` tells when there is room. `null` when
   *   the stream is not there any more
   */
  write(id, bytes) {
    const sending = this.stream(id)?.sending;
    if (!sending || sending.hasEnded) return null;
    const count = sending.write(bytes, LIMITS.streamBacklog);
    sending.isBlocked = count < bytes.length;
    return count;
  }

  /** Nothing more will be written to a byte stream. */
  finish(id) {
    this.stream(id)?.sending.finish();
  }

  /** The next bytes of a byte stream; `null` when there are none now. @returns {Uint8Array | null} */
  read(id) {
    const stream = this.stream(id);
    if (!stream) return null;
    const bytes = stream.receiving.read();
    if (stream.receiving.grant(this.#window)) this.#acknowledge(id);
    if (!bytes) this.#forgetIfOver(stream);
    return bytes;
  }

  /** Whether a byte stream's other direction has come whole and was read. */
  hasReadAll(id) {
    return this.stream(id)?.receiving.isOver ?? true;
  }

  /** Whether nothing is left of a byte stream's other direction but its end. */
  isAtEnd(id) {
    return this.stream(id)?.receiving.isAtEnd ?? true;
  }

  /** Whether everything that was written to a byte stream has come. */
  hasArrived(id) {
    return this.stream(id)?.sending.isOver ?? true;
  }

  /** How much of a byte stream has gone and come. */
  progress(id) {
    const stream = this.stream(id);
    return stream ? { acknowledged: stream.sending.acknowledged, received: stream.receiving.received } : null;
  }

  /** Ends a byte stream at once. @param {bigint} id @param {number} code */
  reset(id, code) {
    const stream = this.#remove(id);
    if (stream) this.#say({ type: "reset", id, code }, stream.priority);
  }

  #violated(id) {
    this.reset(id, ResetCode.violation);
    this.#tell({ type: "streamEnded", id, code: ResetCode.violation });
  }

  #forgetIfOver(stream) {
    if (stream.isOver) this.#remove(stream.id);
  }

  /** @param {import("./frame.js").Piece} piece @returns {boolean} whether it is to be acknowledged */
  receive(piece) {
    const stream = this.stream(piece.id);
    if (!stream) return false;
    const { receiving, priority } = stream;
    const wasReadable = receiving.isReadable;
    if (!receiving.receive(piece)) {
      this.#violated(piece.id);
      return false;
    }
    if (receiving.confirms()) this.#say({ type: "finished", id: piece.id }, priority);
    if (!wasReadable && receiving.isReadable) this.#tell({ type: "streamReadable", id: piece.id });
    return true;
  }

  /** @param {import("./frame.js").Credit} credit @returns {boolean} whether it is of a stream of ours */
  takeCredit({ id, received, limit }) {
    const sending = this.stream(id)?.sending;
    if (!sending) return false;
    if (!sending.credit(received, limit)) {
      this.#violated(id);
      return false;
    }
    if (sending.isBlocked && sending.held <= LIMITS.streamBacklog / 2) {
      sending.isBlocked = false;
      this.#tell({ type: "streamWritable", id });
    }
    return true;
  }

  // Time, and the end.

  get nextDeadline() {
    return this.#requests.nextDeadline;
  }

  handleTimeout(now) {
    for (let id; (id = this.#requests.popDue(now)) !== undefined; ) this.#endRequest(id, "timedOut");
  }

  /** Requests and byte streams are over. @param {boolean} isUnsupported because the member does not know them */
  end(isUnsupported) {
    const { asked, answering } = this.#requests;
    const { streams } = this;
    this.#requests = new Requests();
    this.streams = [];
    for (const id of asked.keys()) this.#tell({ type: "response", id, outcome: isUnsupported ? "unsupported" : "interrupted", payload: new Uint8Array() });
    for (const id of answering.keys()) this.#tell({ type: "cancelled", id });
    for (const { id } of streams) this.#tell({ type: "streamEnded", id, code: isUnsupported ? ResetCode.unsupported : ResetCode.interrupted });
  }
}
