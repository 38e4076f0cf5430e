// What a packet of a session is made of (docs/protocol.md, "Frames").

import { Reader, Refusal, Writer } from "../base/bytes.js";

/** The bytes a data frame adds to its payload. */
export const DATA_OVERHEAD = 5 + 33;

/** Flags of a data frame. @enum {number} */
export const Flag = Object.freeze({ first: 1, last: 2, text: 4 });

/**
 * @typedef {object} DataFrame a piece of a message
 * @property {"data"} type
 * @property {bigint} stream which run of sequence numbers this belongs to
 * @property {number} sequence counts the fragments of the stream, from 1
 * @property {number} base the lowest sequence number that its writer has not seen acknowledged
 * @property {number} message counts the messages of the stream, from 1
 * @property {number} flags
 * @property {Uint8Array} payload
 *
 * @typedef {object} Acknowledgement how far a stream has arrived
 * @property {"acknowledgement"} type
 * @property {bigint} stream
 * @property {number} received everything before this has come
 * @property {number} durable everything before this was handed on, and the reader knows so even after a restart
 * @property {number} window how many fragments from `received` on the reader takes now
 *
 * @typedef {DataFrame | Acknowledgement | {type: "ping" | "pong", id: bigint} | {type: "bye"}} Frame
 */

/** Appends a frame to a packet. @param {Writer} packet @param {Frame} frame */
export function writeFrame(packet, frame) {
  switch (frame.type) {
    case "data":
      return packet.u8(1).u32(33 + frame.payload.length).u64(frame.stream).u64(frame.sequence).u64(frame.base)
        .u64(frame.message).u8(frame.flags).append(frame.payload);
    case "acknowledgement":
      return packet.u8(2).u32(26).u64(frame.stream).u64(frame.received).u64(frame.durable).u16(frame.window);
    case "ping":
      return packet.u8(3).u32(8).u64(frame.id);
    case "pong":
      return packet.u8(4).u32(8).u64(frame.id);
    default:
      return packet.u8(5).u32(0);
  }
}

/** A packet that only says good-bye. */
export const byePacket = () => writeFrame(new Writer(), { type: "bye" }).bytes;

/** The frames of a packet; those of unknown types are passed over. @param {Uint8Array} packet @returns {Frame[]} */
export function parsePacket(packet) {
  const reader = new Reader(packet);
  const frames = [];
  while (reader.remaining > 0) {
    const type = reader.u8();
    const frame = parseBody(type, new Reader(reader.take(reader.u32())));
    if (frame) frames.push(frame);
  }
  return frames;
}

function parseBody(type, body) {
  switch (type) {
    case 1: {
      const frame = {
        type: "data", stream: body.u64(), sequence: body.count(), base: body.count(), message: body.count(),
        flags: body.u8(), payload: body.rest(),
      };
      if (frame.base < 1 || frame.base > frame.sequence) throw new Refusal("malformed");
      return frame;
    }
    case 2: {
      const frame = {
        type: "acknowledgement", stream: body.u64(), received: body.count(), durable: body.count(), window: body.u16(),
      };
      if (frame.durable > frame.received) throw new Refusal("malformed");
      return frame;
    }
    case 3:
      return { type: "ping", id: body.u64() };
    case 4:
      return { type: "pong", id: body.u64() };
    case 5:
      return { type: "bye" };
    default:
      return null;
  }
}
