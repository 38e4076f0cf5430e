// Byte streams between members, as the streams of the web: they wait where the other does not keep up.

import { bytesOf } from "./payload.js";
import { checkedName } from "./requests.js";
import { ResetCode } from "./session/control.js";

/** How much is read at once. */
const READ_SIZE = 64 * 1024;

const WORDS = new Map([
  [ResetCode.unwanted, "it is no longer wanted"], [ResetCode.refused, "the other takes no byte streams of this name"],
  [ResetCode.violation, "the other did what the protocol forbids"], [ResetCode.tooMany, "there are too many byte streams"],
  [ResetCode.interrupted, "the conversation ended: one of the two left or runs anew"], [ResetCode.unsupported, "the other knows no byte streams"],
]);

/** A byte stream ended before both directions had come whole. */
export class StreamReset extends Error {
  /** From here on codes are the application's own. */
  static firstOfApplication = ResetCode.firstOfApplication;

  /** @param {number} code */
  constructor(code) {
    super(WORDS.get(code) ?? `the byte stream was reset with code ${code}`);
    this.name = "StreamReset";
    this.code = code;
  }
}

const codeOf = (reason) => (reason instanceof StreamReset ? reason.code : ResetCode.unwanted);

/**
 * The byte streams of one member's session, to do something with them, or only to look; `null` when there is no such session.
 * @typedef {object} Way
 * @property {<T>(body: (exchanges: import("./session/exchanges.js").Exchanges) => T) => T | null} act
 * @property {<T>(body: (exchanges: import("./session/exchanges.js").Exchanges) => T) => T | null} look
 */

/** One byte stream between two members, with two directions. It ends with the run of either. */
export class SwarmStream {
  /** How far it is: bytes that were written and have arrived, and those that have come. */
  #progress = { acknowledged: 0, received: 0 };
  #written = 0;
  /** Why it ended, when not of itself. @type {StreamReset | null} */
  #reset = null;
  #hasFinished = false;
  #hasReadAll = false;
  /** What still comes is not wanted. */
  #isUnwanted = false;
  /** Who waits for bytes. @type {(() => void) | null} */
  #reader = null;
  /** Who waits for room. @type {{bytes: Uint8Array, done: () => void, failed: (error: Error) => void} | null} */
  #writer = null;
  /** Who waits for all to arrive. @type {{done: () => void, failed: (error: Error) => void}[]} */
  #draining = [];
  #readable;
  #writable;
  #id;
  #way;
  #over;

  /**
   * @internal
   * @param {string} peer @param {bigint} id @param {string} name
   * @param {Way} way
   * @param {() => void} over nothing more happens to it
   */
  constructor(peer, id, name, way, over) {
    /** With whom. */
    this.peer = peer;
    /** What it is for, as the opener says. */
    this.name = name;
    this.#id = id;
    this.#way = way;
    this.#over = over;
    /** What the other writes. @type {ReadableStream<Uint8Array>} */
    this.readable = new ReadableStream({
      start: (controller) => void (this.#readable = controller),
      pull: () => new Promise((done) => ((this.#reader = done), this.feedReader())),
      cancel: () => ((this.#isUnwanted = true), this.feedReader()),
    }, { highWaterMark: 0 });
    /** What the other reads. `close` waits until all has arrived. @type {WritableStream<BufferSource>} */
    this.writable = new WritableStream({
      start: (controller) => void (this.#writable = controller),
      write: (chunk) => this.#write(chunk),
      close: () => this.#finish(),
      abort: (reason) => this.reset(codeOf(reason)),
    });
  }

  /** How far it is, in bytes; as it ended, when it is over. */
  get progress() {
    this.#noteProgress();
    return { ...this.#progress };
  }

  #noteProgress() {
    const progress = this.#reset ? null : this.#way.look((exchanges) => exchanges.progress(this.#id));
    if (progress) this.#progress = progress;
    else if (!this.#reset) this.#progress.acknowledged = this.#written;
  }

  // Writing.

  #write(chunk) {
    const bytes = bytesOf(chunk);
    if (!bytes) throw new TypeError("a byte stream takes bytes");
    return new Promise((done, failed) => {
      this.#writer = { bytes, done, failed };
      this.goOn();
    });
  }

  #finish() {
    this.#hasFinished = true;
    this.#way.act((exchanges) => exchanges.finish(this.#id));
    return this.drained();
  }

  /** Waits until all that was written has arrived, the end too. */
  drained() {
    if (this.#reset) return Promise.reject(this.#reset);
    if (this.#hasArrived) return Promise.resolve();
    return new Promise((done, failed) => this.#draining.push({ done, failed }));
  }

  get #hasArrived() {
    return this.#hasFinished && this.#way.look((exchanges) => exchanges.hasArrived(this.#id)) === true;
  }

  /** @internal There is room again, or all has arrived. */
  goOn() {
    const writer = this.#writer;
    if (writer) {
      // What follows may come back here: what was taken is noted before.
      const isThere = this.#way.act((exchanges) => {
        const count = exchanges.write(this.#id, writer.bytes);
        this.#written += count ?? 0;
        writer.bytes = writer.bytes.subarray(count ?? 0);
        return count !== null;
      });
      if (!isThere) return this.ended(ResetCode.interrupted);
      if (!writer.bytes.length && this.#writer === writer) {
        this.#writer = null;
        writer.done();
      }
    }
    if (!this.#hasArrived) return;
    this.#noteProgress();
    for (const { done } of this.#draining.splice(0)) done();
    if (this.#isUnwanted) this.reset();
    this.#endIfOver();
  }

  // Reading.

  /** @internal There is something to read, or the end, or somebody who waits. */
  feedReader() {
    if (this.#reset || this.#hasReadAll) return;
    this.#noteProgress();
    // What follows may come back here: what was read is handed on before.
    this.#way.act((exchanges) => (this.#isUnwanted ? this.#discard(exchanges) : this.#read(exchanges)));
    if (this.#isUnwanted && this.#hasArrived) this.reset();
    this.#endIfOver();
  }

  #read(exchanges) {
    if (!this.#reader && !exchanges.isAtEnd(this.#id)) return;
    let size = 0;
    for (let bytes; size < READ_SIZE && (bytes = exchanges.read(this.#id)); size += bytes.length) this.#readable.enqueue(bytes);
    if (exchanges.hasReadAll(this.#id)) {
      this.#hasReadAll = true;
      this.#readable.close();
    } else if (!size) {
      return;
    }
    this.#reader?.();
    this.#reader = null;
  }

  /** Takes what nobody reads off the hands of its writer. */
  #discard(exchanges) {
    while (exchanges.read(this.#id));
    this.#hasReadAll = exchanges.hasReadAll(this.#id);
  }

  // The end.

  /** Ends both directions at once. @param {number} [code] 0, or one of the application's own, from `StreamReset.firstOfApplication` on */
  reset(code = ResetCode.unwanted) {
    if (this.#reset || (this.#hasReadAll && this.#hasArrived)) return;
    this.#noteProgress();
    this.#way.act((exchanges) => exchanges.reset(this.#id, code));
    this.ended(code);
  }

  /** @internal It has ended, and not of itself. @param {number} code */
  ended(code) {
    if (this.#reset) return;
    const reset = (this.#reset = new StreamReset(code));
    this.#writer?.failed(reset);
    for (const { failed } of this.#draining.splice(0)) failed(reset);
    this.#writer = null;
    if (!this.#isUnwanted && !this.#hasReadAll) this.#readable.error(reset);
    this.#writable.error(reset);
    this.#reader?.();
    this.#reader = null;
    this.#over();
  }

  #endIfOver() {
    if (this.#hasReadAll && this.#hasArrived) this.#over();
  }

  /** @internal Whoever took it is through with it: what was written arrives, what was not read is not wanted. */
  async letGo() {
    const ignored = () => {};
    if (!this.readable.locked) this.readable.cancel().catch(ignored);
    if (!this.writable.locked && !this.#hasFinished && !this.#reset) await this.writable.close().catch(ignored);
  }
}

/** @typedef {(stream: SwarmStream) => unknown} Acceptor */

/** The byte streams of a member. */
export class Streams {
  /** @type {Map<string, SwarmStream>} */
  #open = new Map();
  /** @type {Map<string, Acceptor>} */
  #acceptors = new Map();
  #conversations;

  /** @param {() => import("./member/conversations.js").Conversations} conversations throws when there are none */
  constructor(conversations) {
    this.#conversations = conversations;
  }

  #add(peer, id, name) {
    const conversations = this.#conversations();
    const key = `${peer}/${id}`;
    const way = { act: (body) => conversations.exchange(peer, body), look: (body) => conversations.look(peer, body) };
    const stream = new SwarmStream(peer, id, name, way, () => this.#open.delete(key));
    this.#open.set(key, stream);
    return stream;
  }

  /** @param {string} peer @param {{name?: string, priority?: import("./session/lane.js").Priority}} options @returns {SwarmStream} */
  open(peer, { name = "", priority = "normal" }) {
    checkedName(name);
    return this.#add(peer, this.#conversations().begin(peer, (exchanges) => exchanges.open(name, priority)), name);
  }

  /** @param {string} name @param {Acceptor} acceptor */
  accept(name, acceptor) {
    this.#acceptors.set(checkedName(name), acceptor);
  }

  /** Takes what happened. @param {string} peer @param {any} event */
  take(peer, event) {
    const stream = this.#open.get(`${peer}/${event.id}`);
    switch (event.type) {
      case "streamOpened":
        this.#opened(peer, event);
        break;
      case "streamReadable":
        stream?.feedReader();
        break;
      case "streamWritable":
        stream?.goOn();
        break;
      case "streamEnded":
        stream?.ended(event.code);
        break;
    }
  }

  async #opened(peer, { id, name }) {
    const acceptor = this.#acceptors.get(name);
    if (!acceptor) return this.#conversations().exchange(peer, (exchanges) => exchanges.reset(id, ResetCode.refused));
    const stream = this.#add(peer, id, name);
    try {
      await acceptor(stream);
      await stream.letGo();
    } catch (error) {
      stream.reset(codeOf(error));
    }
  }
}
