// What a packet of a session is made of (docs/protocol.md, "Frames").

import { join, Reader, Refusal, Writer } from "../base/bytes.js";
import { peerBytes, peerText } from "../sealing/keys.js";
import { LANES, PLAIN } from "./lane.js";

/** The bytes that a frame adds to its body. */
const FRAME_OVERHEAD = 5;
/** The bytes a data frame adds to its payload. */
export const DATA_OVERHEAD = FRAME_OVERHEAD + 34;
/** The bytes a piece of a byte stream adds to its payload. */
export const PIECE_OVERHEAD = FRAME_OVERHEAD + 17;

/** The most neighbours that are told of. */
export const MOST_NEIGHBOURS = 256;

/** The most one-time prekeys that are given at once. */
const MOST_PREKEYS = 64;

/** The most outcomes in one acknowledgement. */
const MOST_OUTCOMES = 2_048;
/** How far beyond `durable` the bitmap of an acknowledgement reaches, in fragments. */
export const FARTHEST = 8_192;

/** Flags of a data frame. @enum {number} */
export const Flag = Object.freeze({ first: 1, last: 2, text: 4, /** it is not to be handed on */ withdrawn: 8 });
const SENT_FLAGS = Flag.first | Flag.last | Flag.text | Flag.withdrawn;

/** What became of a message that was not handed on. @enum {number} */
export const Outcome = Object.freeze({ withdrawn: 1, refused: 2, tooLarge: 3 });

/**
 * @typedef {object} DataFrame a piece of a message
 * @property {"data"} type
 * @property {number} lane
 * @property {bigint} stream which run of sequence numbers this belongs to
 * @property {number} sequence counts the fragments of the stream, from 1
 * @property {number} base the lowest sequence number that its writer has not seen acknowledged
 * @property {number} message names the message among all from its writer to this reader
 * @property {number} flags
 * @property {Uint8Array} payload
 *
 * @typedef {object} Acknowledgement how far a stream has arrived
 * @property {"acknowledgement"} type
 * @property {number} lane
 * @property {bigint} stream
 * @property {number} received everything before this has come
 * @property {number} durable everything before this was handed on, and the reader knows so even after a restart
 * @property {number} window how many fragments from `received` on the reader takes now
 * @property {{message: number, code: number}[]} outcomes messages before `durable`, or in `bitmap`, that were not handed on
 * @property {Uint8Array} bitmap which fragments beyond `durable` were handed on, and are noted
 *
 * @typedef {{type: "confirmed", lane: number, stream: bigint, base: number}} Confirmed the writer knows the outcomes of all before `base`
 *
 * @typedef {object} Piece a piece of one direction of a byte stream
 * @property {"bytes"} type
 * @property {bigint} id
 * @property {number} offset where the payload belongs
 * @property {boolean} isEnd the direction ends behind the payload
 * @property {Uint8Array} payload
 *
 * @typedef {{type: "credit", id: bigint, received: number, limit: number}} Credit how far a direction has come, and how far it may go
 *
 * @typedef {{type: "refused", reason: number}} Refused the sender takes no part in a conversation with us
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
 * @typedef {{type: "deadline", message: number, at: number}} Deadline when a message that follows in an item of mail is no longer of use, in
 *   milliseconds since 1970 by the sender's clock
 *
 * @typedef {Prekeys | Stock | Deadline | Rekeying | DataFrame | Acknowledgement | Confirmed | Piece | Credit | Refused | {type: "ping" | "pong", id: bigint} | {type: "bye"} | Neighbours | Carried} Frame
 */

/** Appends a frame to a packet. @param {Writer} packet @param {Frame} frame */
export function writeFrame(packet, frame) {
  switch (frame.type) {
    case "data":
      if (frame.lane === PLAIN) packet.u8(1).u32(33 + frame.payload.length);
      else packet.u8(10).u32(34 + frame.payload.length).u8(frame.lane);
      return packet.u64(frame.stream).u64(frame.sequence).u64(frame.base).u64(frame.message).u8(frame.flags & SENT_FLAGS)
        .append(frame.payload);
    case "acknowledgement":
      return writeAcknowledgement(packet, frame);
    case "confirmed":
      return packet.u8(12).u32(17).u8(frame.lane).u64(frame.stream).u64(frame.base);
    case "bytes":
      return packet.u8(13).u32(17 + frame.payload.length).u64(frame.id).u64(frame.offset).u8(frame.isEnd ? 1 : 0).append(frame.payload);
    case "credit":
      return packet.u8(14).u32(24).u64(frame.id).u64(frame.received).u64(frame.limit);
    case "refused":
      return packet.u8(15).u32(1).u8(frame.reason);
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
    case "deadline":
      return packet.u8(25).u32(16).u64(frame.message).u64(frame.at);
    default:
      throw new TypeError(`no frame is of type ${frame.type}`);
  }
}

/** Whether the frame that every member knows can say it. */
const isPlain = ({ lane, outcomes, bitmap }) => lane === PLAIN && !outcomes.length && !bitmap.length;

function writeAcknowledgement(packet, frame) {
  const outcomes = frame.outcomes.slice(0, MOST_OUTCOMES);
  if (isPlain(frame)) packet.u8(2).u32(26);
  else packet.u8(11).u32(29 + 9 * outcomes.length + frame.bitmap.length).u8(frame.lane);
  packet.u64(frame.stream).u64(frame.received).u64(frame.durable).u16(frame.window);
  if (isPlain(frame)) return packet;
  packet.u16(outcomes.length);
  for (const { message, code } of outcomes) packet.u64(message).u8(code);
  return packet.append(frame.bitmap);
}

/** The bytes that an acknowledgement takes in a packet. @param {Acknowledgement} frame */
export const acknowledgementSize = ({ outcomes, bitmap }) =>
  FRAME_OVERHEAD + 29 + 9 * Math.min(outcomes.length, MOST_OUTCOMES) + bitmap.length;

/** Whether an acknowledgement says of a fragment that it is handed on and noted. @param {{durable: number, bitmap: Uint8Array}} frame @param {number} sequence */
export function covers({ durable, bitmap }, sequence) {
  if (sequence < durable) return true;
  const bit = sequence - durable;
  return bit < bitmap.length * 8 && (bitmap[bit >> 3] & (1 << (bit & 7))) !== 0;
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
    case 1:
      return parseData(PLAIN, body);
    case 2:
      return parseAcknowledgement(PLAIN, body);
    case 10:
      return parseData(parseLane(body), body);
    case 11:
      return parseFullAcknowledgement(parseLane(body), body);
    case 12:
      return { type: "confirmed", lane: parseLane(body), stream: body.u64(), base: body.count() };
    case 13:
      return { type: "bytes", id: body.u64(), offset: body.count(), isEnd: (body.u8() & 1) === 1, payload: body.rest() };
    case 14:
      return { type: "credit", id: body.u64(), received: body.count(), limit: body.count() };
    case 15:
      return { type: "refused", reason: body.u8() };
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
    case 25:
      return { type: "deadline", message: body.count(), at: body.count() };
    default:
      return null;
  }
}

function parseLane(body) {
  const lane = body.u8();
  if (lane >= LANES) throw new Refusal("malformed");
  return lane;
}

function parseData(lane, body) {
  const frame = {
    type: "data", lane, stream: body.u64(), sequence: body.count(), base: body.count(), message: body.count(),
    flags: body.u8() & SENT_FLAGS, payload: body.rest(),
  };
  if (frame.base < 1 || frame.base > frame.sequence) throw new Refusal("malformed");
  return frame;
}

/** How far a stream has arrived: the frame that every member knows says no more. */
function parseAcknowledgement(lane, body) {
  const frame = {
    type: "acknowledgement", lane, stream: body.u64(), received: body.count(), durable: body.count(), window: body.u16(),
    outcomes: [], bitmap: new Uint8Array(),
  };
  if (frame.durable > frame.received) throw new Refusal("malformed");
  return frame;
}

function parseFullAcknowledgement(lane, body) {
  const frame = parseAcknowledgement(lane, body);
  const count = body.u16();
  if (count > MOST_OUTCOMES) throw new Refusal("malformed");
  for (let index = 0; index < count; index += 1) frame.outcomes.push({ message: body.count(), code: body.u8() });
  if (body.remaining > FARTHEST / 8) throw new Refusal("malformed");
  frame.bitmap = body.rest();
  return frame;
}
