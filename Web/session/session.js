// The ordered, acknowledged conversation with one member, above its paths (docs/protocol.md, "Session").
//
// No IO: frames come in with the path they came by, packets go out with the path they are to take, and `now` is handed in.
// It starts on whichever path opens first, sends on the best one, and when that falls silent sends everything that is
// not acknowledged on the next at once.

import { Writer } from "../base/bytes.js";
import { AcknowledgementsDue } from "./due.js";
import { Exchanges } from "./exchanges.js";
import { writeFrame } from "./frame.js";
import { Lanes } from "./lanes.js";
import { PathState } from "./path-state.js";
import { FRAGMENT_BYTES } from "./outbound.js";
import { SendScheduler } from "./scheduler.js";

/** Bounds and times, in bytes and milliseconds; the protocol's. */
export const SESSION = Object.freeze({
  largestMessage: 16 << 20,
  /** To one who knows lane 0 only. */
  largestPlainMessage: 1 << 20,
  /** The most that is held of incomplete messages of one member. */
  largestIncomplete: 32 << 20,
  largestBacklog: 64 << 20,
  largestPacket: 12 * 1024,
  /** What a member may send; `null` for as much as it can. @type {import("./rate.js").RateLimit | null} */
  rateLimit: null,
  relayWindow: 24,
  relayAcknowledgementDelay: 8,
  directPingInterval: 2_000,
  suspectPingInterval: 500,
  relayPingInterval: 5_000,
  spareRelayPingInterval: 60_000,
  /** A member of whom nothing came for this long is away. */
  awayAfter: 20_000,
  /** One that is directly connected, and of whom nothing came for this long, is asked by every path. */
  quietAfter: 2_500,
  /** The same member is away when nothing came for this long: four questions by each path later. */
  directAwayAfter: 4_500,
  /** Of whom nothing came for this long counts as gone: it may have left without being heard. */
  goneAfter: 60_000,
  mostPongs: 16,
  mostAsides: 64,
});

/** Why one does not take part in a conversation, by what it says (docs/protocol.md, "Admission"). */
export const REFUSALS = Object.freeze({ notAdmitted: 1, kicked: 2, blocked: 3 });
/** One that we do not know counts as the mildest. @type {(number: number) => keyof typeof REFUSALS} */
const reasonOf = (number) => Object.keys(REFUSALS).find((reason) => REFUSALS[reason] === number) ?? "notAdmitted";

/**
 * What takes packets: the peer connection, the GUN mesh, or a third member.
 * @typedef {"connection" | "relay" | "mesh"} Carrier
 */
/** The best first: a relay is made for carrying what others say, a member is not. @type {readonly Carrier[]} */
const CARRIERS = ["connection", "relay", "mesh"];
/** @type {readonly Carrier[]} */
const INDIRECT = ["relay", "mesh"];

export class Session {
  /** What happened, in order; the owner takes it by {@link nextEvent}. @type {object[]} */
  events = [];
  /** What is to be acknowledged. */
  due = new AcknowledgementsDue();
  #scheduler = new SendScheduler();
  /** Where the streams of one rank take turns. */
  #turn = 0;
  isUp = false;
  /** That it has gone was told. */
  #isGone = false;
  /** When it was asked by every path for its silence. @type {number | null} */
  #probedAt = null;
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
  #pongs = [];
  #wantsPing = new Set();
  /** Frames of the owner's that go with the next packet. */
  #asides = [];
  #nextPing = 1n;
  #limits;

  /** @param {import("./lanes.js").Kept} [kept] @param {Partial<typeof SESSION>} [limits] */
  constructor(kept = {}, limits = {}) {
    this.#limits = { ...SESSION, ...limits };
    this.lanes = new Lanes(this, kept, this.#limits);
    this.exchanges = new Exchanges(this);
  }

  /** Something of ours waits for acknowledgement. */
  get isOwed() {
    return this.lanes.isOwed || this.exchanges.isOwed;
  }

  /** The peer connection is open but owes an answer for too long. */
  get isSuspect() {
    return this.paths.connection.isSuspect;
  }

  /** The way messages go now: "direct", "turn", "relay" or "mesh"; `null` while there is none. */
  get path() {
    return this.carrier && this.#pathOf(this.carrier);
  }

  /** The ways that are open, the one in use first. */
  get ways() {
    const open = CARRIERS.filter((carrier) => this.paths[carrier].isOpen).sort((a, b) => Number(b === this.carrier) - Number(a === this.carrier));
    return open.map((carrier) => {
      const { smoothedRTT: rtt, isSuspect } = this.paths[carrier];
      return { path: this.#pathOf(carrier), rtt, isSuspect, isInUse: carrier === this.carrier };
    });
  }

  #pathOf(carrier) {
    return carrier === "connection" ? this.connectionPath : carrier;
  }

  // What happens.

  /** A path has come up, or its far end is a new one: all that was not received goes out on it. */
  pathOpened(carrier, now) {
    this.paths[carrier] = PathState.opened();
    this.#rewind(carrier);
    if (carrier === "connection") this.suspectSince = null;
    this.#wantsPing.add(carrier);
    this.#chooseCarrier(now);
  }

  pathClosed(carrier, now) {
    if (!this.paths[carrier].isOpen) return;
    this.paths[carrier] = new PathState();
    if (carrier === "connection") this.suspectSince = null;
    this.#rewindOthers(carrier);
    this.due.forget(carrier);
    this.#wantsPing.delete(carrier);
    this.#chooseCarrier(now);
  }

  /** Nothing that goes through others reaches the member any more. @param {number} now */
  indirectPathsClosed(now) {
    for (const carrier of INDIRECT) this.pathClosed(carrier, now);
  }

  /** What went by one path only may be lost with it. */
  #rewindOthers(carrier) {
    for (const other of INDIRECT) if (other !== carrier && this.paths[other].isOpen) this.#rewind(other);
  }

  /** All that is not received goes out again, when it is this path's turn. */
  #rewind(carrier) {
    this.lanes.rewind(carrier);
    for (const { sending } of this.exchanges.streams) sending.cursors[carrier] = 0;
  }

  /** ICE moved the peer connection to another kind of candidate pair. @param {"direct" | "turn"} path */
  connectionMoved(path) {
    if (path === this.connectionPath) return;
    this.connectionPath = path;
    this.#tellPath();
  }

  /** The member runs anew: what was on its way to the former run is sent again. @param {boolean} [isFirst] no former run is known */
  peerRestarted(now, isFirst = false) {
    this.lanes.peerRestarted();
    if (!isFirst) this.endExchanges();
    this.#asides = [];
    this.isUp = false;
    this.pathClosed("connection", now);
    for (const carrier of INDIRECT) if (this.paths[carrier].isOpen) this.pathOpened(carrier, now);
  }

  /** What the member's record says of it. @param {boolean} knows */
  setKnowsLanes(knows) {
    this.lanes.knowsLanes = knows;
    if (!knows) this.endExchanges(true);
  }

  /** Requests and byte streams are over, and so is what is under way of them. @param {boolean} [isUnsupported] */
  endExchanges(isUnsupported = false) {
    this.exchanges.end(isUnsupported);
    this.lanes.endControl();
  }

  /** The member takes nothing of us. @returns {number[]} the messages that end so */
  abandon() {
    this.endExchanges();
    return this.lanes.abandon();
  }

  /** What happened next; what is to be noted is known when it is known what the owner took. @returns {object | undefined} */
  nextEvent() {
    if (!this.events.length) this.lanes.noteAdvances();
    return this.events.shift();
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
      this.#isGone = false;
      // What comes by a path that is not open at this end tells of it all the same.
      this.#toldPath = this.#pathOf(this.carrier ?? carrier);
      this.events.push({ type: "up", path: this.#toldPath });
    }
    for (const frame of frames) this.#receive(frame, carrier, now);
    this.#chooseCarrier(now);
  }

  /** Takes frames that mail has brought: they say nothing of the member's presence. @param {import("./frame.js").Frame[]} frames */
  receiveMail(frames, now) {
    for (const frame of frames) {
      if (frame.type === "data") this.lanes.receive(frame, "relay", now);
      else if (frame.type === "acknowledgement") this.lanes.acknowledge(frame);
      else if (frame.type === "confirmed") this.lanes.confirm(frame);
    }
  }

  /** Probes the paths at once. */
  probe() {
    for (const carrier of CARRIERS) if (this.paths[carrier].isOpen) this.#wantsPing.add(carrier);
  }

  /** The page slept: silence in that time means nothing, so ask before drawing conclusions. */
  slept(now) {
    for (const carrier of CARRIERS) this.paths[carrier].slept(now);
    if (this.lastHeard !== null) this.lastHeard = now;
    this.#probedAt = null;
    this.probe();
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
      path.sendAgain();
      this.#rewind(carrier);
      if (this.carrier === carrier) this.#wantsPing.add(carrier);
    }
    this.#chooseCarrier(now);
    for (const carrier of CARRIERS) if (now >= this.#nextPingAt(carrier)) this.#wantsPing.add(carrier);
    if (now >= this.#quietAt) {
      this.#probedAt = now;
      this.probe();
    }
    if (this.isUp && now >= this.#awayAt) {
      this.isUp = false;
      this.events.push({ type: "away" });
    }
    if (!this.#isGone && now >= this.#goneAt) {
      this.#isGone = true;
      this.events.push({ type: "gone" });
    }
    this.lanes.handleTimeout(now);
    this.exchanges.handleTimeout(now);
  }

  /** When `handleTimeout` is due, or an acknowledgement that waits goes out. @returns {number} */
  nextTimeout(now) {
    let next = Math.min(
      this.#quietAt, this.isUp ? this.#awayAt : Infinity, this.#isGone ? Infinity : this.#goneAt, this.lanes.nextDeadline, this.exchanges.nextDeadline);
    for (const carrier of CARRIERS) {
      const path = this.paths[carrier];
      if (!path.isOpen) continue;
      next = Math.min(next, this.due.at(carrier), this.#nextPingAt(carrier), this.#doubtAt(carrier));
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
    if (this.lastHeard === null) return Infinity;
    return this.lastHeard + (this.paths.connection.isOpen ? SESSION.directAwayAfter : SESSION.awayAfter);
  }

  get #goneAt() {
    return this.lastHeard === null ? Infinity : this.lastHeard + SESSION.goneAfter;
  }

  /** When one who is directly connected and of whom nothing is heard is asked by every path. */
  get #quietAt() {
    if (!this.isUp || !this.paths.connection.isOpen || this.lastHeard === null) return Infinity;
    return Math.max(this.lastHeard + SESSION.quietAfter, this.#probedAt === null ? -Infinity : this.#probedAt + SESSION.suspectPingInterval);
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
    const add = (frame) => writeFrame(packet, frame);
    for (const pong of this.#pongs.filter((pong) => pong.carrier === carrier)) add({ type: "pong", id: pong.id });
    this.#pongs = this.#pongs.filter((pong) => pong.carrier !== carrier);
    if (this.#wantsPing.delete(carrier)) {
      add({ type: "ping", id: this.#nextPing });
      path.sentPing(this.#nextPing, now);
      this.#nextPing += 1n;
    }
    if (this.carrier === carrier) while (packet.length < FRAGMENT_BYTES && this.#asides.length) add(this.#asides.shift());
    const flight = this.#addData(packet, carrier, room);
    this.lanes.addAcknowledgements(packet, carrier, now);
    if (flight.length) path.sentData(flight, now);
    return packet.length ? packet.bytes : null;
  }

  /** Fills a packet with what waits, as the scheduler says. @returns {import("./path-state.js").Flight} */
  #addData(packet, carrier, room) {
    /** @type {import("./path-state.js").Flight} */
    const flight = [];
    if (this.carrier !== carrier || room <= 0) return flight;
    if (carrier !== "connection" && this.paths[carrier].packetsInFlight >= this.#limits.relayWindow) return flight;
    const limit = Math.min(this.#limits.largestPacket, room);
    const fits = (size) => !flight.length || packet.length + size <= limit;
    const note = (lane, stream, highest) => {
      const part = flight.find((each) => each.lane === lane && each.stream === stream);
      if (part) part.highest = Math.max(part.highest, highest);
      else flight.push({ lane, stream, highest });
    };
    for (let next; (next = this.#scheduler.choose((rank) => this.lanes.nextFlow(rank, carrier, this.#turn))); ) {
      const { rank, flow } = next;
      const before = packet.length;
      if ("outbound" in flow) {
        const { outbound, sequence } = flow;
        if (!fits(outbound.sizeOf(sequence))) return flight;
        writeFrame(packet, outbound.fragment(sequence));
        outbound.sent(sequence, carrier);
        note(outbound.lane, outbound.stream, sequence);
      } else {
        const { stream, number } = flow;
        if (!fits(stream.sending.sizeOf(number))) return flight;
        writeFrame(packet, stream.sending.send(number, stream.id, carrier));
        note(null, stream.id, number);
      }
      this.#turn += 1;
      this.#scheduler.sent(packet.length - before, rank);
    }
    return flight;
  }

  // Inside.

  #receive(frame, carrier, now) {
    switch (frame.type) {
      case "data":
        this.lanes.receive(frame, this.#pathOf(carrier), now);
        this.due.addLane(frame.lane, carrier, now + this.#acknowledgementDelay(carrier));
        break;
      case "acknowledgement":
        if (this.lanes.acknowledge(frame)) this.#noteProgress(carrier, now);
        break;
      case "confirmed":
        this.lanes.confirm(frame);
        break;
      case "bytes":
        if (this.exchanges.receive(frame)) this.due.addStream(frame.id, carrier, now + this.#acknowledgementDelay(carrier));
        break;
      case "credit":
        if (this.exchanges.takeCredit(frame)) this.#noteProgress(carrier, now);
        break;
      case "refused":
        this.events.push({ type: "refused", reason: reasonOf(frame.reason) });
        break;
      case "ping":
        if (this.#pongs.length < SESSION.mostPongs) this.#pongs.push({ carrier, id: frame.id });
        // With the pong goes how far we are: an acknowledgement that opened the window may have been lost.
        this.lanes.acknowledgeOn(carrier, now);
        for (const { id } of this.exchanges.streams) this.due.addStream(id, carrier, now);
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

  #acknowledgementDelay(carrier) {
    return carrier === "connection" ? 0 : SESSION.relayAcknowledgementDelay;
  }

  /** Something of ours has come that had not. */
  #noteProgress(carrier, now) {
    for (const each of CARRIERS) this.paths[each].arrived((part) => this.#has(part), each === carrier, now);
    if (carrier === "connection") this.#clearSuspicion(now);
  }

  /** Whether the member has all of a lane or byte stream up to there. @param {import("./path-state.js").FlightPart} part */
  #has({ lane, stream, highest }) {
    if (lane === null) return (this.exchanges.stream(stream)?.sending.first ?? Infinity) > highest;
    const outbound = this.lanes.outbounds[lane];
    return outbound.stream !== stream || outbound.received > highest;
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
    if (!this.isUp || this.isOwed) return path.lastPing + interval;
    return Math.max(path.lastPing, path.lastHeard ?? path.lastPing) + interval;
  }
}
