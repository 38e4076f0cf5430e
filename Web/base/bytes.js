// Bytes: joining, texts of them, and a writer and reader of the protocol's integers (unsigned, big-endian).

/** Something that came from outside has not the shape, the seal or the freshness that it must have. */
export class Refusal extends Error {
  /** @param {"malformed" | "notForUs" | "forged" | "stale" | "replayed"} kind why it is not taken */
  constructor(kind) {
    super(kind);
    this.name = "Refusal";
    this.kind = kind;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** @param {string} text @returns {Uint8Array} its UTF-8 */
export const utf8 = (text) => encoder.encode(text);

/** @param {BufferSource} bytes @returns {string} the text; what is no UTF-8 becomes U+FFFD */
export const text = (bytes) => decoder.decode(bytes);

/** @param {...Uint8Array} parts @returns {Uint8Array} all of them, one after the other */
export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {Uint8Array} a @param {Uint8Array} b @returns {number} below, at or above zero, as bytes compare */
export function compare(a, b) {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}

/** @param {Uint8Array} bytes */
export const hexadecimal = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string} digits an even number of hexadecimal digits @returns {Uint8Array} */
export function fromHexadecimal(digits) {
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) throw new Refusal("malformed");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** The bytes as a text of as many characters, U+0000 to U+00FF: how trackers write them. @param {Uint8Array} bytes */
export const latin1 = (bytes) => String.fromCharCode(...bytes);

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Int8Array(128).fill(-1);
for (let at = 0; at < 64; at += 1) VALUES[ALPHABET.charCodeAt(at)] = at;

/** RFC 4648 §5, without padding. @param {Uint8Array} bytes @returns {string} */
export function base64url(bytes) {
  const characters = [];
  let group = 0;
  let bits = 0;
  for (const byte of bytes) {
    group = ((group << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      characters.push(ALPHABET[(group >> bits) & 63]);
    }
  }
  if (bits > 0) characters.push(ALPHABET[(group << (6 - bits)) & 63]);
  return characters.join("");
}

/**
 * Each byte string has one spelling: other characters, impossible lengths and stray bits are refused.
 * @param {string} characters @returns {Uint8Array}
 */
export function fromBase64url(characters) {
  const bytes = new Uint8Array(Math.floor((characters.length * 3) / 4));
  let group = 0;
  let bits = 0;
  let at = 0;
  for (let index = 0; index < characters.length; index += 1) {
    const code = characters.charCodeAt(index);
    const value = code < 128 ? VALUES[code] : -1;
    if (value < 0) throw new Refusal("malformed");
    group = ((group << 6) | value) & 0x3fff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at] = group >> bits;
      at += 1;
    }
  }
  if (bits >= 6 || group & ((1 << bits) - 1)) throw new Refusal("malformed");
  return bytes;
}

/** Writes integers, bytes and prefixed bytes, one after the other. */
export class Writer {
  #bytes = new Uint8Array(256);
  #length = 0;

  #room(count) {
    if (this.#length + count > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    const view = new DataView(this.#bytes.buffer, this.#length, count);
    this.#length += count;
    return view;
  }

  /** @param {number} value */
  u8(value) {
    this.#room(1).setUint8(0, value);
    return this;
  }

  /** @param {number} value */
  u16(value) {
    this.#room(2).setUint16(0, value);
    return this;
  }

  /** @param {number} value */
  u32(value) {
    this.#room(4).setUint32(0, value);
    return this;
  }

  /** @param {number | bigint} value */
  u64(value) {
    this.#room(8).setBigUint64(0, BigInt(value));
    return this;
  }

  /** @param {Uint8Array} bytes */
  append(bytes) {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length - bytes.length);
    return this;
  }

  /** @param {Uint8Array} bytes at most 65,535 */
  prefixed16(bytes) {
    if (bytes.length > 0xffff) throw new Refusal("malformed");
    return this.u16(bytes.length).append(bytes);
  }

  get length() {
    return this.#length;
  }

  /** @returns {Uint8Array} what was written */
  get bytes() {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Reads what {@link Writer} wrote; throws {@link Refusal} where the bytes end too soon. */
export class Reader {
  #bytes;
  #at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
  }

  get remaining() {
    return this.#bytes.length - this.#at;
  }

  #view(count) {
    if (count > this.remaining) throw new Refusal("malformed");
    this.#at += count;
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at - count, count);
  }

  u8() {
    return this.#view(1).getUint8(0);
  }

  u16() {
    return this.#view(2).getUint16(0);
  }

  u32() {
    return this.#view(4).getUint32(0);
  }

  /** @returns {bigint} */
  u64() {
    return this.#view(8).getBigUint64(0);
  }

  /** A u64 that counts something: beyond 2^53 no number of ours goes. @returns {number} */
  count() {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Refusal("malformed");
    return Number(value);
  }

  /** @param {number} count @returns {Uint8Array} */
  take(count) {
    if (count > this.remaining) throw new Refusal("malformed");
    this.#at += count;
    return this.#bytes.slice(this.#at - count, this.#at);
  }

  prefixed16() {
    return this.take(this.u16());
  }

  rest() {
    return this.take(this.remaining);
  }
}

/** @param {number} count @returns {Uint8Array} from the system's generator */
export const randomBytes = (count) => crypto.getRandomValues(new Uint8Array(count));

/** @returns {bigint} 64 random bits */
export const randomU64 = () => new Reader(randomBytes(8)).u64();
