// What is said to other members, and what they say: from the application to the session and its paths, and back, by way of
// storage.

import { ExchangeRefusal } from "../session/exchanges.js";
import { isControl, LANES } from "../session/lane.js";
import { SESSION } from "../session/session.js";
import { gotKey, messageKey, streamKey } from "./keeping.js";
import { envelopeDatagram } from "./relay-path.js";

/** Why a message was not taken, or a request or byte stream not begun. */
export class SendError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "SendError";
  }
}

/** @typedef {import("./member.js").Member} Member */

export class Conversations {
  isPaused = false;
  /** Messages that the application has taken while storage has them still. @type {Set<string>} */
  takenLately = new Set();
  /** Members whose messages are about to leave. @type {Set<Member>} */
  #unpumped = new Set();
  #engine;
  #exchanged;

  /** @param {import("./engine.js").Engine} engine @param {(peer: string, event: object) => void} exchanged is told of requests and byte streams */
  constructor(engine, exchanged) {
    this.#engine = engine;
    this.#exchanged = exchanged;
  }

  // To others.

  /** The member that something new is begun with. @returns {Member} */
  #partner(peer) {
    const engine = this.#engine;
    if (peer === engine.peerID) throw new SendError("a member does not send to itself: choose another");
    const member = engine.member(peer);
    if (!member) throw new SendError("too many members are known: no room for one more");
    if (member.refusal) throw new SendError("this member is blocked, or was sent away: unblock it first");
    return member;
  }

  /**
   * Queues a message; it leaves when it is kept.
   * @param {string} peer @param {Uint8Array} content @param {boolean} isText
   * @param {{priority?: import("../session/lane.js").Priority, isOrdered?: boolean, deadline?: number}} options `deadline` in
   *   milliseconds since 1970
   * @returns {{number: number, kept: Promise<void>}} its number among those to this member
   */
  send(peer, content, isText, { priority, isOrdered, deadline = Infinity }) {
    const engine = this.#engine;
    const member = this.#partner(peer);
    const { lanes } = member.session;
    const largest = lanes.knowsLanes === false ? SESSION.largestPlainMessage : SESSION.largestMessage;
    if (content.length > largest) throw new SendError(`a message has ${largest} bytes at most: send it in parts, or as a byte stream`);
    if (lanes.backlog + content.length > SESSION.largestBacklog) {
      throw new SendError("too much waits for this member already: send more when that has been delivered");
    }
    const moment = engine.now() + (deadline - engine.wall());
    const { lane, entry } = lanes.send(content, isText, { priority, isOrdered, deadline: moment, isHeld: true });
    const { number, first: sequence, last } = entry;
    const outbound = lanes.outbounds[lane];
    engine.keeping.set(messageKey(peer, number), {
      number, sequence, isText, lane, deadline: deadline === Infinity ? 0 : deadline, fragments: last + 1 - sequence, isWithdrawn: false, content,
    });
    this.#keepStream(member, lane);
    const kept = new Promise((done) => engine.keeping.afterwards(() => {
      outbound.release(last + 1);
      if (engine.admission.refuses(member)) this.reject(member, member.refusedUs.reason);
      else this.#pumpSoon(member);
      done();
    }));
    return { number, kept };
  }

  #keepStream({ peer, mail: { takesLanes }, session: { lanes } }, lane) {
    const { stream, next } = lanes.outbounds[lane];
    this.#engine.keeping.set(streamKey("out", peer, lane), { stream, nextMessage: lanes.nextMessage, next, knowsLanes: lanes.knowsLanes, takesLanes });
  }

  /** What waits for a member will not be handed on. @param {Member} member @param {import("../session/outbound.js").Rejection} reason */
  reject(member, reason) {
    const { peer, session } = member;
    for (const number of session.abandon()) {
      this.#engine.keeping.set(messageKey(peer, number), undefined);
      this.#engine.emit({ type: "rejected", to: peer, sequence: number, reason });
    }
    for (let lane = 0; lane < LANES; lane += 1) if (!isControl(lane)) this.#keepStream(member, lane);
  }

  /** Begins a request or a byte stream. @template T @param {string} peer @param {(exchanges: import("../session/exchanges.js").Exchanges, now: number) => T} body @returns {T} */
  begin(peer, body) {
    const member = this.#partner(peer);
    if (this.#engine.admission.refuses(member)) throw new SendError("this member takes nothing of ours: try again in a minute");
    try {
      return body(member.session.exchanges, this.#engine.now());
    } catch (error) {
      throw error instanceof ExchangeRefusal ? new SendError(error.message) : error;
    } finally {
      this.pump(member);
    }
  }

  /** Goes on with one. @template T @param {string} peer @param {(exchanges: import("../session/exchanges.js").Exchanges) => T} body @returns {T | null} */
  exchange(peer, body) {
    const member = this.#engine.members.get(peer);
    if (!member) return null;
    const result = body(member.session.exchanges);
    this.pump(member);
    return result;
  }

  /** Looks at them only. @template T @param {string} peer @param {(exchanges: import("../session/exchanges.js").Exchanges) => T} body @returns {T | null} */
  look(peer, body) {
    const member = this.#engine.members.get(peer);
    return member ? body(member.session.exchanges) : null;
  }

  /** As {@link pump}, once for all that is kept in one go: messages share packets. @param {Member} member */
  #pumpSoon(member) {
    if (!this.#unpumped.size) {
      queueMicrotask(() => {
        const members = [...this.#unpumped];
        this.#unpumped.clear();
        for (const each of members) this.pump(each);
      });
    }
    this.#unpumped.add(member);
  }

  /** Moves what a member's session has to say to the application, to storage and to its paths. @param {Member} member */
  pump(member) {
    const engine = this.#engine;
    for (let event; (event = member.session.nextEvent()); ) this.#handle(event, member);
    engine.signaling.flush(member);
    const { cipher } = member;
    for (const [carrier, way] of /** @type {const} */ ([["relay", engine.relayPath], ["mesh", engine.mesh]])) {
      for (let packet; cipher && (packet = member.session.pollPacket(carrier, Infinity, engine.now())); ) {
        if (member.blocked.has(carrier)) continue;
        const sent = packet;
        engine.inTurn(member, async () => {
          if (member.cipher === cipher) await way.send(member, envelopeDatagram(await cipher.seal(sent)));
        });
      }
    }
    engine.poke();
  }

  // From others.

  /** The application has taken a message: it will not be handed on again. */
  taken({ from, stream, sequence }) {
    this.forget(gotKey(from, stream, sequence));
  }

  /** @param {string} key of a message that was taken */
  forget(key) {
    const { keeping } = this.#engine;
    this.takenLately.add(key);
    keeping.set(key, undefined);
    keeping.afterwards(() => this.takenLately.delete(key));
  }

  setPaused(isPaused) {
    if (isPaused === this.isPaused) return;
    this.isPaused = isPaused;
    if (!isPaused) this.#engine.mail.read();
    for (const member of this.#engine.members.values()) {
      member.session.lanes.setPaused(isPaused);
      this.pump(member);
    }
  }

  #handle(event, member) {
    const engine = this.#engine;
    const { peer } = member;
    switch (event.type) {
      case "up":
        member.standing = "here";
        engine.runs.wake(member);
        member.negotiation.hurry(engine.now());
        if (member.resend?.count > 1) member.resend.at = engine.now();
        if (member.cipher?.epoch === 0) engine.runs.rekey(member, () => member.cipher.begin(engine.now()));
        engine.emit({ type: "peer", peer, name: member.name, path: event.path });
        break;
      case "path":
        engine.emit({ type: "path", peer, path: event.path, rtt: event.rtt });
        break;
      case "message":
        this.#takeMessage(event, member);
        break;
      case "inboundAdvanced":
        this.#keepNote(event, member);
        break;
      case "settled":
        engine.keeping.set(messageKey(peer, event.number), undefined);
        if (event.outcome === "rejected") engine.emit({ type: "rejected", to: peer, sequence: event.number, reason: event.reason });
        else if (event.outcome) engine.emit({ type: event.outcome, to: peer, sequence: event.number });
        break;
      case "withdrawn": {
        // What it said is not kept any more, only that it was there.
        const { number, first, last } = event.entry;
        engine.keeping.set(messageKey(peer, number), {
          number, sequence: first, isText: false, lane: event.lane, deadline: 0, fragments: last + 1 - first, isWithdrawn: true, content: new Uint8Array(),
        });
        if (event.isExpired) engine.emit({ type: "expired", to: peer, sequence: number });
        break;
      }
      case "refused":
        engine.admission.refusedBy(member, event.reason);
        break;
      case "bye":
        engine.runs.left(member);
        break;
      case "away":
        if (member.standing !== "here") break;
        member.standing = "away";
        engine.emit({ type: "away", peer });
        break;
      case "gone":
        engine.runs.tellLeft(member);
        break;
      default:
        this.#exchanged(peer, event);
    }
  }

  #takeMessage(event, member) {
    const engine = this.#engine;
    const { peer } = member;
    const { stream, number, path, isText, content } = event;
    if (!engine.admission.accepts(peer, isText, content)) return member.session.lanes.refuse(event);
    const message = { from: peer, stream, sequence: number, path, isText, content };
    // Handed on when it is kept: a page that is loaded again has it still.
    engine.keeping.set(gotKey(peer, stream, number), message);
    engine.keeping.afterwards(() => engine.emit({ ...message, type: "message" }));
  }

  #keepNote({ lane, note }, member) {
    const engine = this.#engine;
    engine.mail.noteStream(member, note.stream, Math.floor(engine.wall()));
    engine.keeping.set(streamKey("in", member.peer, lane), note);
    engine.keeping.afterwards(() => {
      member.session.lanes.commit(lane, note);
      engine.mail.settle(member);
      this.pump(member);
    });
  }

  /** Nobody waits for requests and byte streams any more. */
  close() {
    for (const { peer, session } of this.#engine.members.values()) {
      session.events = [];
      session.endExchanges();
      for (const event of session.events.splice(0)) this.#exchanged(peer, event);
    }
  }

  // Fault injection.

  block(path, peer) {
    this.#setBlocked(peer, ({ blocked }) => blocked.add(path));
  }

  unblock(path, peer) {
    this.#setBlocked(peer, ({ blocked }) => blocked.delete(path));
  }

  #setBlocked(peer, body) {
    for (const member of this.#engine.members.values()) {
      if (peer && member.peer !== peer) continue;
      body(member);
      this.#engine.signaling.holdGraph(member);
    }
  }
}
