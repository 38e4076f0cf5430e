// What members say to each other: texts, bytes, and values as JSON.

import { text, utf8 } from "./base/bytes.js";

/** What came: bytes, and ways to read them. */
export class Payload {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    /** @type {Uint8Array} */
    this.bytes = bytes;
  }

  /** It as text. */
  get text() {
    return text(this.bytes);
  }

  /** The value that it holds as JSON; throws when it holds something else. */
  json() {
    return JSON.parse(this.text);
  }
}

/** @param {BufferSource} source @returns {Uint8Array | null} the same bytes; `null` for what is none */
export function bytesOf(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return ArrayBuffer.isView(source) ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : null;
}

/**
 * A text stays one; bytes stay bytes; any other value is sent as JSON.
 * @param {unknown} value
 * @returns {{content: Uint8Array, isText: boolean}}
 */
export function encoded(value) {
  if (typeof value === "string") return { content: utf8(value), isText: true };
  const bytes = bytesOf(/** @type {BufferSource} */ (value));
  // The application may change what it has given.
  if (bytes) return { content: bytes.slice(), isText: false };
  const json = JSON.stringify(value);
  if (json === undefined) throw new TypeError("this value is nothing that can be sent");
  return { content: utf8(json), isText: false };
}
