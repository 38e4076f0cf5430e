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
  mostAsides: 64,
});

/**
 * What takes packets: the peer connection, the GUN mesh, or a third member.
 * @typedef {"connection" | "relay" | "mesh"} Carrier
 */
/** The best first: a relay is made for carrying what others say, a member is not. @type {readonly Carrier[]} */
const CARRIERS = ["connection", "relay", "mesh"];
/** @type {readonly Carrier[]} */
const INDIRECT = ["relay", "mesh"];

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
  paths = { connection: new PathState(), relay: new PathState(), mesh: new PathState() };
  /** Which way the connection's packets go; only said, never acted upon. */
  connectionPath = "direct";
  /** The path that the application was told of last. */
  #toldPath = null;
  /** @type {Record<Carrier, number>} */
  #acknowledgementDue = { connection: Infinity, relay: Infinity, mesh: Infinity };
  #pongs = [];
  #wantsPing = new Set();
  /** Frames of the owner's that go with the next packet. */
  #asides = [];
  #isPaused = false;
  #reported = { stream: null, next: 0 };
  #nextPing = 1n;

  /** @param {import("./outbound.js").Outbound} outbound @param {Inbound} [inbound] */
  constructor(outbound, inbound = new Inbound(SESSION.largestMessage)) {
    this.outbound = outbound;
    this.inbound = inbound;
  }

  /** The peer connection is open but owes an answer for too long. */
  get isSuspect() {
    return this.paths.connection.isSuspect;
  }

  /** The way messages go now: "direct", "turn", "relay" or "mesh"; `null` while there is none. */
  get path() {
    return this.carrier && this.#pathOf(this.carrier);
  }

  #pathOf(carrier) {
    return carrier === "connection" ? this.connectionPath : carrier;
  }

  // What happens.

  /** A path has come up, or its far end is a new one: all that was not received goes out on it. */
  pathOpened(carrier, now) {
    this.paths[carrier] = PathState.opened(this.outbound.received);
    if (carrier === "connection") this.suspectSince = null;
    this.#wantsPing.add(carrier);
    this.#chooseCarrier(now);
  }

  pathClosed(carrier, now) {
    if (!this.paths[carrier].isOpen) return;
    this.paths[carrier] = new PathState();
    if (carrier === "connection") this.suspectSince = null;
    this.#rewindOthers(carrier);
    this.#acknowledgementDue[carrier] = Infinity;
    this.#wantsPing.delete(carrier);
    this.#chooseCarrier(now);
  }

  /** What went by one path only may be lost with it. */
  #rewindOthers(carrier) {
    for (const other of INDIRECT) {
      if (other === carrier) continue;
      this.paths[other].cursor = Math.min(this.paths[other].cursor, this.outbound.received);
    }
  }

  /** ICE moved the peer connection to another kind of candidate pair. @param {"direct" | "turn"} path */
  connectionMoved(path) {
    if (path === this.connectionPath) return;
    this.connectionPath = path;
    this.#tellPath();
  }

  /** The member runs anew: what was on its way to the former run is sent again. */
  peerRestarted(now) {
    this.outbound.peerRestarted();
    this.#asides = [];
    this.isUp = false;
    this.pathClosed("connection", now);
    for (const carrier of INDIRECT) if (this.paths[carrier].isOpen) this.pathOpened(carrier, now);
  }

  /** Has a frame go with the next packet, once: whoever says it repeats it when it is lost. @param {import("./frame.js").Frame} frame */
  say(frame) {
    if (this.#asides.length < SESSION.mostAsides) this.#asides.push(frame);
  }

  /** Takes the frames of one packet that came, authentic, by a carrier. @param {import("./frame.js").Frame[]} frames */
  receive(frames, carrier, now) {
    this.lastHeard = now;
    this.paths[carrier].heard(now);
    if (carrier !== "connection") this.paths[carrier].trust(now);
    if (!this.isUp) {
      this.carrier = null;
      this.#chooseCarrier(now);
      this.isUp = true;
      // What comes by a path that is not open at this end tells of it all the same.
      this.#toldPath = this.#pathOf(this.carrier ?? carrier);
      this.events.push({ type: "up", path: this.#toldPath });
    }
    for (const frame of frames) this.#receive(frame, carrier, now);
    this.#reportAdvance();
    this.#chooseCarrier(now);
  }

  #reportAdvance() {
    const { stream, durableNext, committed } = this.inbound;
    if (stream === null || durableNext <= committed) return;
    if (this.#reported.stream === stream && this.#reported.next === durableNext) return;
    this.#reported = { stream, next: durableNext };
    this.events.push({ type: "inboundAdvanced", stream, next: durableNext });
  }

  /** Takes frames that mail has brought: they say nothing of the member's presence. @param {import("./frame.js").Frame[]} frames */
  receiveMail(frames) {
    for (const frame of frames) {
      if (frame.type === "data") {
        for (const message of this.inbound.receive(frame)) this.events.push({ type: "message", path: "relay", ...message });
      } else if (frame.type === "acknowledgement") {
        for (const number of this.outbound.acknowledge(frame)) this.events.push({ type: "delivered", number });
      }
    }
    this.#reportAdvance();
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
    for (const carrier of CARRIERS) {
      if (now < this.#doubtAt(carrier)) continue;
      this.paths[carrier].doubt(now);
      if (carrier === "connection") this.suspectSince = now;
      this.#rewindOthers(carrier);
      this.probe();
    }
    for (const carrier of INDIRECT) {
      const path = this.paths[carrier];
      if (!path.isOpen || now < path.retransmissionAt) continue;
      path.sendAgain(this.outbound.received);
      if (this.carrier === carrier) this.#wantsPing.add(carrier);
    }
    this.#chooseCarrier(now);
    for (const carrier of CARRIERS) if (now >= this.#nextPingAt(carrier)) this.#wantsPing.add(carrier);
    if (this.isUp && now >= this.#awayAt) {
      this.isUp = false;
      this.events.push({ type: "away" });
    }
  }

  /** When `handleTimeout` is due, or an acknowledgement that waits goes out. @returns {number} */
  nextTimeout(now) {
    let next = this.isUp ? this.#awayAt : Infinity;
    for (const carrier of CARRIERS) {
      const path = this.paths[carrier];
      if (!path.isOpen) continue;
      next = Math.min(next, this.#acknowledgementDue[carrier], this.#nextPingAt(carrier), this.#doubtAt(carrier));
      if (carrier !== "connection") next = Math.min(next, path.retransmissionAt);
      if (!path.isSuspect && path.trustedFrom > now) next = Math.min(next, path.trustedFrom);
    }
    return next;
  }

  /** When a path falls under suspicion, unless it is already, or nothing is owed there. */
  #doubtAt(carrier) {
    const path = this.paths[carrier];
    if (!path.isOpen || path.isSuspect) return Infinity;
    // Of paths through others only one that has an alternative is worth the doubt.
    if (carrier !== "connection" && !CARRIERS.some((other) => other !== carrier && this.paths[other].isOpen)) return Infinity;
    return path.suspicionAt;
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
    if (this.carrier === carrier) for (const frame of this.#asides.splice(0, SESSION.mostPongs)) add(frame);
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
    if (carrier !== "connection" && path.packetsInFlight >= SESSION.relayWindow) return null;
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
        const due = now + (carrier === "connection" ? 0 : SESSION.relayAcknowledgementDelay);
        this.#acknowledgementDue[carrier] = Math.min(this.#acknowledgementDue[carrier], due);
        break;
      }
      case "acknowledgement":
        for (const number of this.outbound.acknowledge(frame)) this.events.push({ type: "delivered", number });
        if (frame.stream !== this.outbound.stream) return;
        for (const each of CARRIERS) this.paths[each].acknowledged(this.outbound.received, now);
        if (carrier === "connection") this.#clearSuspicion(now);
        break;
      case "ping":
        if (this.#pongs.length < SESSION.mostPongs) this.#pongs.push({ carrier, id: frame.id });
        // With the pong goes how far we are: an acknowledgement that opened the window may have been lost.
        if (this.inbound.stream !== null) this.#acknowledgementDue[carrier] = now;
        break;
      case "pong":
        if (this.paths[carrier].pong(frame.id, now) && carrier === "connection") this.#clearSuspicion(now);
        break;
      case "bye":
        this.isUp = false;
        this.events.push({ type: "bye" });
        break;
      // The others are the owner's.
    }
  }

  #clearSuspicion(now) {
    this.paths.connection.trust(now);
    this.suspectSince = null;
  }

  /** The best path that may be trusted, else the best that there is. */
  #chooseCarrier(now) {
    const best =
      CARRIERS.find((carrier) => this.paths[carrier].isTrusted(now)) ??
      CARRIERS.find((carrier) => this.paths[carrier].isOpen && !this.paths[carrier].isSuspect) ??
      CARRIERS.find((carrier) => this.paths[carrier].isOpen);
    if (!best || best === this.carrier) return;
    this.carrier = best;
    this.#tellPath();
  }

  #tellPath() {
    const { path } = this;
    if (!this.isUp || !path || path === this.#toldPath) return;
    this.#toldPath = path;
    this.events.push({ type: "path", path, rtt: this.paths[this.carrier].smoothedRTT });
  }

  #nextPingAt(carrier) {
    const path = this.paths[carrier];
    if (!path.isOpen) return Infinity;
    if (path.lastPing === null) return 0;
    let interval;
    if (carrier === "connection") {
      interval = this.isSuspect ? SESSION.suspectPingInterval : SESSION.directPingInterval;
    } else if (this.carrier !== carrier && !path.isSuspect) {
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
