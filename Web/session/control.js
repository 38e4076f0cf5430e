// What members say to each other beside messages, in the control lanes (docs/protocol.md, "Requests" and "Byte streams").

import { Reader, Refusal, text, utf8, Writer } from "../base/bytes.js";

/** The longest name of an action or a stream, in bytes of UTF-8. */
export const LONGEST_NAME = 255;

/** How a request was answered. @enum {number} */
export const Status = Object.freeze({ result: 0, failed: 1, unknownAction: 2, refused: 3, busy: 4 });

/** Why a byte stream ended before both directions had come whole; from 256 on the application's own. @enum {number} */
export const ResetCode = Object.freeze({
  unwanted: 0, refused: 1, violation: 2, tooMany: 3,
  /** The conversation ended; never sent. */
  interrupted: 254,
  /** The other knows no streams; never sent. */
  unsupported: 255,
  firstOfApplication: 256,
});

/**
 * @typedef {{type: "request", id: bigint, limit: number, action: string, payload: Uint8Array}
 *   | {type: "response", id: bigint, status: number, payload: Uint8Array}
 *   | {type: "cancel" | "finished", id: bigint}
 *   | {type: "open", id: bigint, limit: number, name: string}
 *   | {type: "reset", id: bigint, code: number}} ControlMessage
 *   `limit` of a request in milliseconds, 0 for none; of a stream in bytes
 */

const name = (string) => {
  const bytes = utf8(string).subarray(0, LONGEST_NAME);
  return new Writer().u8(bytes.length).append(bytes).bytes;
};

/** @param {ControlMessage} message @returns {Uint8Array} */
export function controlBytes(message) {
  const writer = new Writer();
  switch (message.type) {
    case "request":
      return writer.u8(1).u64(message.id).u32(message.limit).append(name(message.action)).append(message.payload).bytes;
    case "response":
      return writer.u8(2).u64(message.id).u8(message.status).append(message.payload).bytes;
    case "cancel":
      return writer.u8(3).u64(message.id).bytes;
    case "open":
      return writer.u8(4).u64(message.id).u64(message.limit).append(name(message.name)).bytes;
    case "finished":
      return writer.u8(5).u64(message.id).bytes;
    case "reset":
      return writer.u8(6).u64(message.id).u32(message.code).bytes;
    default:
      throw new TypeError(`no control message is of type ${message.type}`);
  }
}

/** @param {Uint8Array} bytes @returns {ControlMessage | null} `null` for what is malformed, or of a later version */
export function parseControl(bytes) {
  try {
    return parse(new Reader(bytes));
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

function parse(reader) {
  const kind = reader.u8();
  const id = reader.u64();
  switch (kind) {
    case 1:
      return { type: "request", id, limit: reader.u32(), action: text(reader.take(reader.u8())), payload: reader.rest() };
    case 2:
      return { type: "response", id, status: reader.u8(), payload: reader.rest() };
    case 3:
      return { type: "cancel", id };
    case 4:
      return { type: "open", id, limit: reader.count(), name: text(reader.take(reader.u8())) };
    case 5:
      return { type: "finished", id };
    case 6:
      return { type: "reset", id, code: reader.u32() };
    default:
      return null;
  }
}
