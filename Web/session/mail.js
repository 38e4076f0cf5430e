// What of a session can be left as mail, and be taken from it (docs/protocol.md, "Items").

import { Writer } from "../base/bytes.js";
import { acknowledgementSize, Flag, writeFrame } from "./frame.js";
import { BY_URGENCY, isControl, messageLane, PLAIN, PRIORITIES } from "./lane.js";

/** The lanes of messages, the most urgent first. */
const MAIL_LANES = BY_URGENCY.flatMap((rank) => [true, false].map((isOrdered) => messageLane(PRIORITIES[rank], isOrdered)));
/** The bytes of a deadline. */
const DEADLINE_SIZE = 5 + 16;

/**
 * Where what was left ends, in each lane of what we have to say.
 * @typedef {Map<number, {stream: bigint, next: number}>} MailCursors
 */

/** What mail for a reader may be about. @param {boolean} knowsLanes it takes mail of every lane, and knows deadlines */
const lanesOf = (knowsLanes) => (knowsLanes ? MAIL_LANES : [PLAIN]);

/** The number of the next fragment of a lane that was not left yet; `null` when there is none that may be. */
function next(lanes, lane, cursors, takesLanes) {
  const outbound = lanes.outbounds[lane];
  const cursor = cursors.get(lane);
  return outbound.nextInMail(cursor?.stream === outbound.stream ? cursor.next : 0, takesLanes, lanes.knowsLanes === true);
}

/** Whether there is something to say that was not left yet. @param {import("./lanes.js").Lanes} lanes @param {MailCursors} cursors */
export const hasMail = (lanes, cursors, knowsLanes) =>
  lanesOf(knowsLanes).some((lane) => next(lanes, lane, cursors, knowsLanes) !== null);

/**
 * A packet of what was not left yet; before what has a deadline stands when that is.
 * @param {import("./lanes.js").Lanes} lanes @param {MailCursors} cursors @param {number} limit in bytes
 * @param {(moment: number) => number} wall a moment in milliseconds since 1970
 * @returns {{packet: Uint8Array, end: MailCursors, messages: number[]} | null} with the messages that end in it
 */
export function mailPacket(lanes, cursors, limit, knowsLanes, wall) {
  const packet = new Writer();
  const end = new Map(cursors);
  const messages = [];
  const result = () => (packet.length ? { packet: packet.bytes, end, messages } : null);
  for (const lane of lanesOf(knowsLanes)) {
    const outbound = lanes.outbounds[lane];
    let dated = null;
    for (let sequence; (sequence = next(lanes, lane, end, knowsLanes)) !== null; ) {
      const fragment = outbound.fragment(sequence);
      const { message, stream, flags } = fragment;
      const deadline = knowsLanes && dated !== message ? outbound.deadlineOf(message) : Infinity;
      const size = outbound.sizeOf(sequence) + (deadline < Infinity ? DEADLINE_SIZE : 0);
      if (packet.length && packet.length + size > limit) return result();
      if (deadline < Infinity) {
        writeFrame(packet, { type: "deadline", message, at: Math.max(1, Math.floor(wall(deadline))) });
        dated = message;
      }
      writeFrame(packet, fragment);
      if (flags & Flag.last && !(flags & Flag.withdrawn)) messages.push(message);
      end.set(lane, { stream, next: sequence + 1 });
    }
  }
  return result();
}

/** What is before these has left: whether it expires is for its reader to say. @param {import("./lanes.js").Lanes} lanes @param {MailCursors} cursors */
export function leftAsMail(lanes, cursors) {
  for (const [lane, { stream, next: before }] of cursors) if (lanes.outbounds[lane].stream === stream) lanes.outbounds[lane].markSent(before);
}

/**
 * A packet that only says how far the member's lanes have come, and which outcomes of ours are known.
 * @param {import("./lanes.js").Lanes} lanes @param {Set<number>} confirming lanes of which that is to be said
 * @returns {Uint8Array | null}
 */
export function acknowledgementPacket(lanes, confirming, limit, knowsLanes) {
  const packet = new Writer();
  for (const lane of lanesOf(knowsLanes)) {
    const { stream, base } = lanes.outbounds[lane];
    if (confirming.has(lane)) writeFrame(packet, { type: "confirmed", lane, stream, base });
    const frame = lanes.inbounds[lane].acknowledgement(false, lanes.knowsLanes === true);
    if (frame && packet.length + acknowledgementSize(frame) <= limit) writeFrame(packet, frame);
  }
  return packet.length ? packet.bytes : null;
}

/**
 * What a reader takes of an item's frames: those of the lanes of messages, and what is past its deadline as withdrawn, as if its
 * writer had been there to do it.
 * @param {import("./frame.js").Frame[]} frames @param {number} wall the reader's clock, in milliseconds since 1970
 * @returns {import("./frame.js").Frame[]}
 */
export function framesOfMail(frames, wall) {
  const past = new Set();
  return frames.flatMap((frame) => {
    if (frame.type === "deadline" && frame.at <= wall) past.add(frame.message);
    if (!["data", "acknowledgement", "confirmed"].includes(frame.type) || isControl(frame.lane)) return [];
    if (frame.type !== "data" || !past.has(frame.message)) return [frame];
    return [{ ...frame, flags: (frame.flags & (Flag.first | Flag.last)) | Flag.withdrawn, payload: new Uint8Array() }];
  });
}

/** Whether what mail holds is of use now, or has been before: what is ahead has to wait. @param {import("./lanes.js").Lanes} lanes */
export function takesMail(lanes, frames) {
  const byLane = new Map();
  for (const frame of frames) if (frame.type === "data") byLane.set(frame.lane, [...(byLane.get(frame.lane) ?? []), frame]);
  return [...byLane].every(([lane, each]) => lanes.inbounds[lane].takes(each));
}

/** The streams that taking this would end. @param {import("./lanes.js").Lanes} lanes @returns {Set<bigint>} */
export function supersededStreams(lanes, frames) {
  const superseded = new Set();
  for (const frame of frames) {
    const present = frame.type === "data" ? lanes.inbounds[frame.lane].stream : null;
    if (present !== null && present !== frame.stream) superseded.add(present);
  }
  return superseded;
}

/** Whether all of it is noted for good, or of streams that are over. @param {import("./lanes.js").Lanes} lanes */
export const isDurable = (lanes, frames) => frames.every((frame) => frame.type !== "data" || lanes.inbounds[frame.lane].isDurable(frame));
