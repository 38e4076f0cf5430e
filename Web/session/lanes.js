// Messages between two members, lane by lane (docs/protocol.md, "Lanes").

import { randomU64, Writer } from "../base/bytes.js";
import { RateMeter } from "./rate.js";
import { acknowledgementSize, writeFrame } from "./frame.js";
import { Inbound } from "./inbound.js";
import { controlLane, isControl, LANES, messageLane, PLAIN, PRIORITIES, priorityOf } from "./lane.js";
import { Outbound } from "./outbound.js";

/** How large a packet may become by acknowledgements: with all that goes around it, it is to be a datagram of the relay path. */
const LARGEST_ACKNOWLEDGED = 20 * 1024;

/**
 * What an earlier run kept of a conversation, by lane.
 * @typedef {{outbounds?: Map<number, Outbound>, inbounds?: Map<number, Inbound>, nextMessage?: number, knowsLanes?: boolean,
 *   takesLaneMail?: boolean}} Kept
 */

export class Lanes {
  /** What goes to the member, by lane. @type {Outbound[]} */
  outbounds;
  /** What comes from the member, by lane. @type {Inbound[]} */
  inbounds;
  /** The next message's number. */
  nextMessage;
  /** Whether the member knows more than lane 0; `null` before it is known. @type {boolean | null} */
  knowsLanes;
  /** The bytes of incomplete messages in all lanes. */
  incompleteBytes = 0;
  limits;
  #rate;
  #isPaused = false;
  #session;

  /** @param {import("./session.js").Session} session @param {Kept} kept @param {object} limits */
  constructor(session, { outbounds = new Map(), inbounds = new Map(), nextMessage = 1, knowsLanes }, limits) {
    this.#session = session;
    this.limits = limits;
    this.#rate = new RateMeter(limits.rateLimit);
    this.outbounds = Array.from({ length: LANES }, (_, lane) => outbounds.get(lane) ?? new Outbound(lane, randomU64()));
    this.inbounds = Array.from({ length: LANES }, (_, lane) => inbounds.get(lane) ?? this.#inbound(lane));
    this.nextMessage = nextMessage;
    this.knowsLanes = knowsLanes ?? null;
  }

  #inbound(lane) {
    return new Inbound(lane, this.limits.largestMessage);
  }

  #tell(event) {
    this.#session.events.push(event);
  }

  // To the member.

  /**
   * Queues a message.
   * @param {Uint8Array} content @param {boolean} isText
   * @param {{priority?: import("./lane.js").Priority, isOrdered?: boolean, deadline?: number, isHeld?: boolean}} [options] what is held
   *   leaves only after `release` of its lane
   * @returns {{lane: number, entry: import("./outbound.js").Entry}}
   */
  send(content, isText, { priority = "normal", isOrdered = true, deadline, isHeld } = {}) {
    const wanted = messageLane(priority, isOrdered);
    const lane = this.knowsLanes ? wanted : PLAIN;
    const entry = this.outbounds[lane].enqueue(content, isText, { number: this.nextMessage, deadline, isHeld });
    this.nextMessage = entry.number + 1;
    return { lane, entry };
  }

  /** Bytes that wait for acknowledgement in all lanes. */
  get backlog() {
    return this.outbounds.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get isOwed() {
    return this.outbounds.some(({ isEmpty }) => !isEmpty);
  }

  /** How much of a message the member has; `null` when it does not wait any more. @param {number} number */
  progress(number) {
    for (const outbound of this.outbounds) {
      const progress = isControl(outbound.lane) ? null : outbound.progress(number);
      if (progress) return progress;
    }
    return null;
  }

  /** @param {import("./frame.js").Acknowledgement} frame @returns {boolean} whether it is of a stream of ours */
  acknowledge(frame) {
    const { lane } = frame;
    if (this.outbounds[lane].stream !== frame.stream) return false;
    const settled = this.outbounds[lane].acknowledge(frame);
    if (!isControl(lane)) for (const each of settled) this.#tell({ type: "settled", ...each });
    const { carrier, due } = this.#session;
    if (frame.outcomes.length && carrier) due.addConfirmation(lane, carrier);
    return true;
  }

  /** The member takes nothing of us: what waits is over, and what comes later begins anew. @returns {number[]} the messages that end so */
  abandon() {
    const abandoned = this.outbounds.filter(({ lane }) => !isControl(lane)).flatMap(({ unsettled }) => unsettled);
    this.outbounds = this.outbounds.map(({ lane }) => new Outbound(lane, randomU64()));
    return abandoned;
  }

  /** All that is not received goes out again by a path. */
  rewind(carrier) {
    for (const outbound of this.outbounds) outbound.rewind(carrier);
  }

  peerRestarted() {
    for (const outbound of this.outbounds) outbound.peerRestarted();
  }

  /** What the control lanes carried ends with the run. */
  endControl() {
    for (let lane = 0; lane < LANES; lane += 1) {
      if (!isControl(lane)) continue;
      this.outbounds[lane] = new Outbound(lane, randomU64());
      this.incompleteBytes -= this.inbounds[lane].heldBytes;
      this.inbounds[lane] = this.#inbound(lane);
    }
  }

  // From the member.

  /** @param {import("./frame.js").DataFrame} frame @param {string} path by which it came @param {number} now */
  receive(frame, path, now) {
    const { lane } = frame;
    const inbound = this.inbounds[lane];
    const before = inbound.heldBytes;
    const messages = inbound.receive(frame, this.limits.largestIncomplete - this.incompleteBytes);
    this.incompleteBytes += inbound.heldBytes - before;
    if (isControl(lane)) {
      for (const { content } of messages) this.#session.exchanges.take(content, priorityOf(lane));
      return;
    }
    for (const message of messages) this.#tell({ type: "message", lane, stream: inbound.stream, path, ...message });
    if (this.#rate.count(messages.length, frame.payload.length, now)) this.acknowledgeAll();
  }

  /** The member knows the outcomes that we told it of. @param {import("./frame.js").Confirmed} frame */
  confirm({ lane, stream, base }) {
    if (this.inbounds[lane].stream === stream) this.inbounds[lane].confirm(base);
  }

  /** The application refused a message that was told of: its writer learns so. @param {{lane: number, number: number, last: number}} message */
  refuse({ lane, number, last }) {
    this.inbounds[lane].refuse({ number, last });
  }

  /** Reports what is to be noted: to be called when it is known what the owner took. */
  noteAdvances() {
    for (const inbound of this.inbounds) {
      const note = inbound.pollNote();
      if (!note) continue;
      // Of what ends with the run nothing needs to be noted.
      if (isControl(inbound.lane)) inbound.commit(note);
      else this.#tell({ type: "inboundAdvanced", lane: inbound.lane, note });
    }
  }

  /** What was reported by `inboundAdvanced` is durable. */
  commit(lane, note) {
    const { carrier, due } = this.#session;
    if (!this.inbounds[lane].commit(note) || !carrier) return;
    // The acknowledgement that left before said less: say it again, soon.
    if (due.isEmpty) due.addLane(lane, carrier, 0);
    else if (due.at(carrier) < Infinity) due.addLane(lane, carrier, due.at(carrier));
  }

  /** The application keeps up (again), or does not. @param {boolean} isPaused */
  setPaused(isPaused) {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    this.acknowledgeAll();
  }

  acknowledgeAll() {
    const { carrier } = this.#session;
    if (carrier) this.acknowledgeOn(carrier, 0);
  }

  /** All lanes of which something has come are to be acknowledged on a path. */
  acknowledgeOn(carrier, at) {
    for (const { lane, stream } of this.inbounds) if (stream !== null) this.#session.due.addLane(lane, carrier, at);
  }

  // Time.

  get nextDeadline() {
    return this.outbounds.reduce((next, outbound) => Math.min(next, outbound.nextDeadline), this.#rate.pausedUntil);
  }

  handleTimeout(now) {
    for (const outbound of this.outbounds) {
      if (outbound.nextDeadline > now) continue;
      for (const withdrawal of outbound.expire(now, this.knowsLanes === true)) {
        this.#tell({ type: "withdrawn", lane: outbound.lane, ...withdrawal });
      }
    }
    if (this.#rate.handleTimeout(now)) this.acknowledgeAll();
  }

  // Packets.

  /** Adds the acknowledgements that are due. @param {Writer} packet @param {import("./session.js").Carrier} carrier */
  addAcknowledgements(packet, carrier, now) {
    const { due, exchanges } = this.#session;
    if (due.at(carrier) === Infinity || (due.at(carrier) > now && !packet.length)) return;
    for (let lane; packet.length < LARGEST_ACKNOWLEDGED / 2 && (lane = due.popConfirmation()) !== null; ) {
      const { stream, base } = this.outbounds[lane];
      writeFrame(packet, { type: "confirmed", lane, stream, base });
    }
    for (let lane; (lane = due.popLane(carrier)) !== null; ) {
      const isPaused = (this.#isPaused || this.#rate.pausedUntil < Infinity) && !isControl(lane);
      const frame = this.inbounds[lane].acknowledgement(isPaused, this.knowsLanes === true);
      if (!frame) continue;
      if (packet.length && packet.length + acknowledgementSize(frame) > LARGEST_ACKNOWLEDGED) {
        due.addLane(lane, carrier, now);
        break;
      }
      writeFrame(packet, frame);
    }
    for (let id; packet.length < LARGEST_ACKNOWLEDGED && (id = due.popStream(carrier)) !== null; ) {
      const receiving = exchanges.stream(id)?.receiving;
      if (receiving) writeFrame(packet, { type: "credit", id, received: receiving.received, limit: receiving.limit });
    }
    due.said(carrier);
  }

  /** A packet that says that there is no conversation, after all that there was to acknowledge. @param {number} reason */
  lastPacket(reason) {
    const packet = new Writer();
    for (const inbound of this.inbounds) {
      if (inbound.lane !== PLAIN && !this.knowsLanes) continue;
      const frame = inbound.lastAcknowledgement(this.knowsLanes === true);
      if (frame && packet.length + acknowledgementSize(frame) <= this.limits.largestPacket) writeFrame(packet, frame);
    }
    return writeFrame(packet, { type: "refused", reason }).bytes;
  }

  /**
   * What goes next of one rank: control messages first, then the others in turn.
   * @returns {{outbound: Outbound, sequence: number} | {stream: import("./byte-stream.js").ByteStream, number: number} | null}
   */
  nextFlow(rank, carrier, turn) {
    const next = (lane) => {
      const sequence = this.outbounds[lane].nextSequence(carrier);
      return sequence === null ? null : { outbound: this.outbounds[lane], sequence };
    };
    if (!this.knowsLanes) return rank === 0 ? next(PLAIN) : null;
    const priority = PRIORITIES[rank];
    const control = next(controlLane(priority));
    if (control) return control;
    const { streams } = this.#session.exchanges;
    const count = streams.length + 2;
    for (let offset = 0; offset < count; offset += 1) {
      const place = (turn + offset) % count;
      if (place < 2) {
        const flow = next(messageLane(priority, place === 0));
        if (flow) return flow;
        continue;
      }
      const stream = streams[place - 2];
      if (stream.priority !== priority) continue;
      const number = stream.sending.next(carrier);
      if (number !== null) return { stream, number };
    }
    return null;
  }
}
