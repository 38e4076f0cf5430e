// Two sessions joined by two virtual paths with their own delay, loss and reordering, on a virtual clock.

import { utf8, text } from "../../base/bytes.js";
import { parsePacket } from "../../session/frame.js";
import { Session } from "../../session/session.js";

/** SplitMix32: the same seed gives the same numbers. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

const CARRIERS = ["connection", "relay", "mesh"];
const EXCHANGES = ["request", "cancelled", "response", "streamOpened", "streamReadable", "streamWritable", "streamEnded"];

export class SessionPair {
  now = 0;
  packets = [];
  dead = new Set();
  loss = 0;
  delay = { connection: 10, relay: 50, mesh: 50 };
  received = [[], []];
  /** What each side was told of its messages, by number; and what it was told twice. */
  outcomes = [new Map(), new Map()];
  toldAgain = [];
  exchanges = [[], []];
  /** Does something with what happens, beside noting it. */
  watch = () => {};
  /** Messages that side 1 does not want. */
  refuses = () => false;
  #order = 0;

  constructor(seed, limits = [{}, {}]) {
    this.draw = random(seed);
    this.sessions = limits.map((each) => new Session({}, each));
  }

  /** Both know lanes. */
  knowLanes(knows = true) {
    for (const session of this.sessions) session.setKnowsLanes(knows);
  }

  open(carrier) {
    for (const session of this.sessions) session.pathOpened(carrier, this.now);
  }

  closeConnection() {
    for (const session of this.sessions) session.pathClosed("connection", this.now);
    this.packets = this.packets.filter(({ carrier }) => carrier !== "connection");
  }

  /** @returns {number} the message's number */
  send(side, words, options) {
    return this.sessions[side].lanes.send(utf8(words), true, options).entry.number;
  }

  /** Everything is carried again. A reliable channel that lost packets is no longer one: there is a new one. */
  heal() {
    this.dead.clear();
    this.closeConnection();
    this.open("connection");
  }

  #told(side, number, outcome) {
    if (this.outcomes[side].has(number)) this.toldAgain.push(number);
    this.outcomes[side].set(number, outcome);
  }

  #drain(side) {
    const session = this.sessions[side];
    for (let event; (event = session.nextEvent()); ) {
      if (event.type === "message") {
        if (side === 1 && this.refuses(event)) session.lanes.refuse(event);
        else this.received[side].push({ ...event, text: text(event.content) });
      } else if (event.type === "settled") {
        if (event.outcome) this.#told(side, event.number, event.reason ? `${event.outcome}: ${event.reason}` : event.outcome);
      } else if (event.type === "withdrawn") {
        if (event.isExpired) this.#told(side, event.entry.number, "expired");
      } else if (event.type === "inboundAdvanced") {
        session.lanes.commit(event.lane, event.note);
      } else if (EXCHANGES.includes(event.type)) {
        this.exchanges[side].push(event);
        this.watch(side, event);
      }
    }
    for (const carrier of CARRIERS) {
      for (let bytes; (bytes = session.pollPacket(carrier, 1 << 18, this.now)); ) {
        this.#order += 1;
        if (this.dead.has(carrier) || (carrier === "relay" && this.draw() < this.loss)) continue;
        // The relay reorders; the direct path, a reliable channel, does not.
        const jitter = carrier === "relay" ? this.draw() * 20 : 0;
        this.packets.push({ at: this.now + this.delay[carrier] + jitter, order: this.#order, to: 1 - side, carrier, bytes });
      }
    }
  }

  run(milliseconds) {
    const end = this.now + milliseconds;
    this.#drain(0);
    this.#drain(1);
    while (true) {
      this.packets.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = Math.min(this.packets[0]?.at ?? Infinity, ...this.sessions.map((session) => session.nextTimeout(this.now)));
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (this.packets.length && this.packets[0].at <= this.now) {
        const packet = this.packets.shift();
        if (!this.dead.has(packet.carrier)) this.sessions[packet.to].receive(parsePacket(packet.bytes), packet.carrier, this.now);
      }
      this.sessions.forEach((session, side) => {
        session.handleTimeout(this.now);
        this.#drain(side);
      });
    }
    this.now = end;
  }
}
