// The ordered, acknowledged conversation with one member, above its paths (docs/protocol.md, "Session").
//
// No IO: frames come in with the path they came by, packets go out with the path they are to take, and `now` is handed in.
// It starts on whichever path opens first, sends on the best one, and when that falls silent sends everything that is
// not acknowledged on the next at once.

import { Writer } from "../base/bytes.js";
import { DATA_OVERHEAD, writeFrame } from "./frame.js";
import { Inbound } from "./inbound.js";
import { PathState } from "./path-state.js";

/** Bounds and times, in bytes and milliseconds; the protocol's. */
export const SESSION = Object.freeze({
  largestMessage: 1 << 20,
  largestBacklog: 64 << 20,
  largestPacket: 12 * 1024,
  relayWindow: 24,
  relayAcknowledgementDelay: 8,
  directPingInterval: 2_000,
  suspectPingInterval: 500,
  relayPingInterval: 5_000,
  spareRelayPingInterval: 60_000,
  awayAfter: 20_000,
  mostPongs: 16,
});

/** What takes packets: the peer connection, or the GUN mesh. @typedef {"connection" | "relay"} Carrier */
/** @type {readonly Carrier[]} */
const CARRIERS = ["connection", "relay"];

export class Session {
  /** What happened, in order; the owner empties it. @type {object[]} */
  events = [];
  isUp = false;
  /** What messages are sent on now. @type {Carrier | null} */
  carrier = null;
  /** @type {number | null} */
  lastHeard = null;
  /** Since when the peer connection owes an answer for too long. @type {number | null} */
  suspectSince = null;
  /** @type {Record<Carrier, PathState>} */
  paths = { connection: new PathState(), relay: new PathState() };
  #connectionPath = "direct";
  /** @type {Record<Carrier, number>} */
  #acknowledgementDue = { connection: Infinity, relay: Infinity };
  #pongs = [];
  #wantsPing = new Set();
  #isPaused = false;
  #reported = { stream: null, next: 0 };
  #nextPing = 1n;

  /** @param {import("./outbound.js").Outbound} outbound @param {Inbound} [inbound] */
  constructor(outbound, inbound = new Inbound(SESSION.largestMessage)) {
    this.outbound = outbound;
    this.inbound = inbound;
  }

  get isSuspect() {
    return this.suspectSince !== null;
  }

  /** The way messages go now: "direct", "turn" or "relay"; `null` while there is none. */
  get path() {
    return this.carrier && this.#pathOf(this.carrier);
  }

  #pathOf(carrier) {
    return carrier === "connection" ? this.#connectionPath : "relay";
  }

  // What happens.

  /** A path has come up, or its far end is a new one: all that was not received goes out on it. */
  pathOpened(carrier) {
    this.paths[carrier] = PathState.opened(this.outbound.received);
    if (carrier === "connection") this.suspectSince = null;
    this.#wantsPing.add(carrier);
    this.#chooseCarrier();
  }

  pathClosed(carrier) {
    if (!this.paths[carrier].isOpen) return;
    this.paths[carrier] = new PathState();
    if (carrier === "connection") {
      this.suspectSince = null;
      this.#rewindRelay();
    }
    this.#acknowledgementDue[carrier] = Infinity;
    this.#wantsPing.delete(carrier);
    this.#chooseCarrier();
  }

  #rewindRelay() {
    this.paths.relay.cursor = Math.min(this.paths.relay.cursor, this.outbound.received);
  }

  /** ICE moved the peer connection to another kind of candidate pair. @param {"direct" | "turn"} path */
  connectionMoved(path) {
    if (path === this.#connectionPath) return;
    this.#connectionPath = path;
    if (this.carrier === "connection" && this.isUp) this.#tellPath();
  }

  /** The member runs anew: what was on its way to the former run is sent again. */
  peerRestarted() {
    this.outbound.peerRestarted();
    this.isUp = false;
    this.pathClosed("connection");
    if (this.paths.relay.isOpen) this.pathOpened("relay");
  }

  /** Takes the frames of one packet that came, authentic, by a carrier. @param {import("./frame.js").Frame[]} frames */
  receive(frames, carrier, now) {
    this.lastHeard = now;
    this.paths[carrier].heard(now);
    if (!this.isUp) {
      this.isUp = true;
      this.carrier = null;
      this.#chooseCarrier(false);
      this.events.push({ type: "up", path: this.#pathOf(this.carrier ?? carrier) });
    }
    for (const frame of frames) this.#receive(frame, carrier, now);
    const { stream, durableNext, committed } = this.inbound;
    if (stream !== null && durableNext > committed && (this.#reported.stream !== stream || this.#reported.next !== durableNext)) {
      this.#reported = { stream, next: durableNext };
      this.events.push({ type: "inboundAdvanced", stream, next: durableNext });
    }
    this.#chooseCarrier();
  }

  /** What was reported by `inboundAdvanced` is kept. */
  commit(stream, next) {
    const before = this.inbound.committed;
    this.inbound.commit(stream, next);
    // The acknowledgement that left before said less: say it again, soon.
    const isDue = CARRIERS.some((carrier) => this.#acknowledgementDue[carrier] < Infinity);
    if (this.inbound.committed !== before && !isDue && this.carrier) this.#acknowledgementDue[this.carrier] = 0;
  }

  /** Probes the paths at once. */
  probe() {
    for (const carrier of CARRIERS) if (this.paths[carrier].isOpen) this.#wantsPing.add(carrier);
  }

  /** The page slept: silence in that time means nothing, so ask before drawing conclusions. */
  slept(now) {
    for (const carrier of CARRIERS) this.paths[carrier].slept(now);
    if (this.lastHeard !== null) this.lastHeard = now;
    this.probe();
  }

  /** The application keeps up (again), or does not. @param {boolean} isPaused */
  setPaused(isPaused) {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (this.carrier && this.inbound.stream !== null) this.#acknowledgementDue[this.carrier] = 0;
  }

  handleTimeout(now) {
    const { connection, relay } = this.paths;
    if (connection.isOpen && !this.isSuspect && now >= connection.suspicionAt) {
      this.suspectSince = now;
      this.#rewindRelay();
      this.probe();
      this.#chooseCarrier();
    }
    if (relay.isOpen && now >= relay.retransmissionAt) {
      relay.sendAgain(this.outbound.received);
      if (this.carrier === "relay") this.#wantsPing.add("relay");
    }
    for (const carrier of CARRIERS) if (now >= this.#nextPingAt(carrier)) this.#wantsPing.add(carrier);
    if (this.isUp && now >= this.#awayAt) {
      this.isUp = false;
      this.events.push({ type: "away" });
    }
  }

  /** When `handleTimeout` is due, or an acknowledgement that waits goes out. @returns {number} */
  get nextTimeout() {
    const { connection, relay } = this.paths;
    let next = this.isUp ? this.#awayAt : Infinity;
    for (const carrier of CARRIERS) {
      if (!this.paths[carrier].isOpen) continue;
      next = Math.min(next, this.#acknowledgementDue[carrier], this.#nextPingAt(carrier));
    }
    if (connection.isOpen && !this.isSuspect) next = Math.min(next, connection.suspicionAt);
    if (relay.isOpen) next = Math.min(next, relay.retransmissionAt);
    return next;
  }

  get #awayAt() {
    return this.lastHeard === null ? Infinity : this.lastHeard + SESSION.awayAfter;
  }

  // What goes out.

  /**
   * The next packet for a carrier, or `null` when there is none to send now.
   * @param {number} room how many more bytes the path's own queue takes: when it is full, only what is no data goes out
   */
  pollPacket(carrier, room, now) {
    const path = this.paths[carrier];
    if (!path.isOpen) return null;
    const packet = new Writer();
    let isEmpty = true;
    const add = (frame) => {
      isEmpty = false;
      writeFrame(packet, frame);
    };
    for (const pong of this.#pongs.filter((pong) => pong.carrier === carrier)) add({ type: "pong", id: pong.id });
    this.#pongs = this.#pongs.filter((pong) => pong.carrier !== carrier);
    if (this.#wantsPing.delete(carrier)) {
      add({ type: "ping", id: this.#nextPing });
      path.sentPing(this.#nextPing, now);
      this.#nextPing += 1n;
    }
    const highest = this.#addData(add, carrier, room);
    if (this.#acknowledgementDue[carrier] <= now || (this.#acknowledgementDue[carrier] < Infinity && !isEmpty)) {
      this.#acknowledgementDue[carrier] = Infinity;
      const acknowledgement = this.inbound.acknowledgement(this.#isPaused);
      if (acknowledgement) add(acknowledgement);
    }
    if (highest !== null) path.sentData(highest, now);
    return isEmpty ? null : packet.bytes;
  }

  #addData(add, carrier, room) {
    const path = this.paths[carrier];
    if (this.carrier !== carrier || room <= 0) return null;
    if (carrier === "relay" && path.packetsInFlight >= SESSION.relayWindow) return null;
    const limit = Math.min(SESSION.largestPacket, room);
    let size = 0;
    let highest = null;
    let cursor = Math.max(path.cursor, this.outbound.received);
    for (let fragment; this.outbound.isInWindow(cursor) && (fragment = this.outbound.fragment(cursor)); cursor += 1) {
      size += DATA_OVERHEAD + fragment.payload.length;
      if (highest !== null && size > limit) break;
      add(fragment);
      highest = cursor;
    }
    path.cursor = cursor;
    return highest;
  }

  // Inside.

  #receive(frame, carrier, now) {
    switch (frame.type) {
      case "data": {
        const path = this.#pathOf(carrier);
        for (const message of this.inbound.receive(frame)) this.events.push({ type: "message", path, ...message });
        const due = now + (carrier === "relay" ? SESSION.relayAcknowledgementDelay : 0);
        this.#acknowledgementDue[carrier] = Math.min(this.#acknowledgementDue[carrier], due);
        break;
      }
      case "acknowledgement":
        for (const number of this.outbound.acknowledge(frame)) this.events.push({ type: "delivered", number });
        if (frame.stream !== this.outbound.stream) return;
        for (const each of CARRIERS) this.paths[each].acknowledged(this.outbound.received, now);
        if (carrier === "connection") this.suspectSince = null;
        break;
      case "ping":
        if (this.#pongs.length < SESSION.mostPongs) this.#pongs.push({ carrier, id: frame.id });
        // With the pong goes how far we are: an acknowledgement that opened the window may have been lost.
        if (this.inbound.stream !== null) this.#acknowledgementDue[carrier] = now;
        break;
      case "pong":
        if (this.paths[carrier].pong(frame.id, now) && carrier === "connection") this.suspectSince = null;
        break;
      default:
        this.isUp = false;
        this.events.push({ type: "bye" });
    }
  }

  #chooseCarrier(announce = true) {
    const { connection, relay } = this.paths;
    let best = null;
    if (connection.isOpen && !(this.isSuspect && relay.isOpen)) best = "connection";
    else if (relay.isOpen) best = "relay";
    if (!best || best === this.carrier) return;
    const moved = this.carrier !== null;
    this.carrier = best;
    if (announce && moved && this.isUp) this.#tellPath();
  }

  #tellPath() {
    this.events.push({ type: "path", path: this.path, rtt: this.paths[this.carrier].smoothedRTT });
  }

  #nextPingAt(carrier) {
    const path = this.paths[carrier];
    if (!path.isOpen) return Infinity;
    if (path.lastPing === null) return 0;
    let interval;
    if (carrier === "connection") {
      interval = this.isSuspect ? SESSION.suspectPingInterval : SESSION.directPingInterval;
    } else if (this.carrier === "connection") {
      interval = SESSION.spareRelayPingInterval;
    } else {
      // A member who does not answer is asked ever more seldom.
      interval = this.isUp ? SESSION.relayPingInterval : 1_000 * 2 ** Math.min(path.unansweredPings, 5);
    }
    // While we wait for an acknowledgement, which a pong brings along, only an answer will do.
    if (!this.isUp || !this.outbound.isEmpty) return path.lastPing + interval;
    return Math.max(path.lastPing, path.lastHeard ?? path.lastPing) + interval;
  }
}
