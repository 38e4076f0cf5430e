// What a packet of a session is made of (docs/protocol.md, "Frames").

import { join, Reader, Refusal, Writer } from "../base/bytes.js";
import { peerBytes, peerText } from "../sealing/keys.js";

/** The bytes a data frame adds to its payload. */
export const DATA_OVERHEAD = 5 + 33;

/** The most neighbours that are told of. */
export const MOST_NEIGHBOURS = 256;

/** The most one-time prekeys that are given at once. */
const MOST_PREKEYS = 64;

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
 * @typedef {object} Neighbours whom the sender is connected with (docs/protocol.md, "Mesh")
 * @property {"neighbours"} type
 * @property {boolean} forwards it hands on what is for them
 * @property {bigint[]} ids the first eight bytes of each PeerID
 *
 * @typedef {{type: "presence", record: Uint8Array} | {type: "forward", peer: string, datagram: Uint8Array}
 *   | {type: "forwarded", datagram: Uint8Array}} Carried
 *
 * @typedef {{type: "rekey" | "rekeyed", epoch: number, key: Uint8Array, signature: Uint8Array} | {type: "switched", epoch: number}} Rekeying
 *   how members come to the keys of the next epoch
 *
 * @typedef {{id: number, key: Uint8Array}} Prekey
 *
 * @typedef {object} Prekeys keys of the sender that mail for it is sealed to (docs/protocol.md, "Mail")
 * @property {"prekeys"} type
 * @property {Prekey} lastResort may be used again, until it expires
 * @property {number} expiry milliseconds since 1970
 * @property {Prekey[]} oneTime each for one item
 * @property {Uint8Array} signature
 *
 * @typedef {{type: "stock", lastResort: number, oneTime: number}} Stock how many prekeys of the receiver the sender holds
 *
 * @typedef {Prekeys | Stock | Rekeying | DataFrame | Acknowledgement | {type: "ping" | "pong", id: bigint} | {type: "bye"} | Neighbours | Carried} Frame
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
    case "bye":
      return packet.u8(5).u32(0);
    case "neighbours":
      packet.u8(6).u32(1 + 8 * frame.ids.length).u8(frame.forwards ? 1 : 0);
      for (const id of frame.ids) packet.u64(id);
      return packet;
    case "presence":
      return packet.u8(7).u32(frame.record.length).append(frame.record);
    case "forward":
      return packet.u8(8).u32(64 + frame.datagram.length).append(peerBytes(frame.peer)).append(frame.datagram);
    case "forwarded":
      return packet.u8(9).u32(frame.datagram.length).append(frame.datagram);
    case "rekey":
    case "rekeyed":
      return packet.u8(frame.type === "rekey" ? 20 : 21).u32(132).u32(frame.epoch).append(frame.key).append(frame.signature);
    case "switched":
      return packet.u8(22).u32(4).u32(frame.epoch);
    case "prekeys": {
      const body = join(prekeysBody(frame), frame.signature);
      return packet.u8(23).u32(body.length).append(body);
    }
    case "stock":
      return packet.u8(24).u32(6).u32(frame.lastResort).u16(frame.oneTime);
    default:
      throw new TypeError(`no frame is of type ${frame.type}`);
  }
}

/** What is signed of prekeys. @param {Prekeys} frame */
export function prekeysBody({ lastResort, expiry, oneTime }) {
  const body = new Writer().u32(lastResort.id).append(lastResort.key).u64(expiry);
  for (const { id, key } of oneTime) body.u32(id).append(key);
  return body.bytes;
}

/** A packet of one frame. @param {Frame} frame */
export const packetOf = (frame) => writeFrame(new Writer(), frame).bytes;

/** A packet that only says good-bye. */
export const byePacket = () => packetOf({ type: "bye" });

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
    case 6: {
      const forwards = (body.u8() & 1) === 1;
      if (body.remaining % 8 || body.remaining / 8 > MOST_NEIGHBOURS) throw new Refusal("malformed");
      const ids = [];
      while (body.remaining) ids.push(body.u64());
      return { type: "neighbours", forwards, ids };
    }
    case 7:
      return { type: "presence", record: body.rest() };
    case 8:
      return { type: "forward", peer: peerText(body.take(64)), datagram: body.rest() };
    case 9:
      return { type: "forwarded", datagram: body.rest() };
    case 20:
    case 21:
      return { type: type === 20 ? "rekey" : "rekeyed", epoch: body.u32(), key: body.take(64), signature: body.take(64) };
    case 22:
      return { type: "switched", epoch: body.u32() };
    case 23: {
      const prekey = () => {
        const id = body.u32();
        if (!id) throw new Refusal("malformed");
        return { id, key: body.take(64) };
      };
      const frame = { type: "prekeys", lastResort: prekey(), expiry: body.count(), oneTime: [] };
      while (body.remaining > 64) frame.oneTime.push(prekey());
      if (frame.oneTime.length > MOST_PREKEYS) throw new Refusal("malformed");
      return { ...frame, signature: body.take(64) };
    }
    case 24:
      return { type: "stock", lastResort: body.u32(), oneTime: body.u16() };
    default:
      return null;
  }
}
