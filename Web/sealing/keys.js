// P-256: identities that sign, and the session key of one run. Points are 64 bytes, x ‖ y; `importKey` checks that they
// are on the curve.

import { base64url, compare, fromBase64url, join, Refusal } from "../base/bytes.js";

const ECDSA = { name: "ECDSA", namedCurve: "P-256" };
const ECDH = { name: "ECDH", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };
const UNCOMPRESSED = Uint8Array.of(4);

/** @param {CryptoKey} key @returns {Promise<Uint8Array>} the point, 64 bytes */
const rawPoint = async (key) => new Uint8Array(await crypto.subtle.exportKey("raw", key)).slice(1);

async function importPoint(point, algorithm, usages) {
  try {
    return await crypto.subtle.importKey("raw", join(UNCOMPRESSED, point), algorithm, true, usages);
  } catch {
    throw new Refusal("malformed");
  }
}

/** A PeerID as text: SEA's `pub`. @param {Uint8Array} point @returns {string} 87 characters */
export const peerText = (point) => `${base64url(point.subarray(0, 32))}.${base64url(point.subarray(32))}`;

/** @param {string} peer @returns {Uint8Array} the 64 bytes of a PeerID; whether they are a point is not checked */
export function peerBytes(peer) {
  const parts = peer.split(".");
  if (parts.length !== 2 || parts.some((part) => part.length !== 43)) throw new Refusal("malformed");
  return join(fromBase64url(parts[0]), fromBase64url(parts[1]));
}

/** PeerIDs are ordered as their bytes. @param {string} a @param {string} b */
export const isLower = (a, b) => compare(peerBytes(a), peerBytes(b)) < 0;

/** Public keys of members that were checked before; bounded. @type {Map<string, CryptoKey>} */
const verifiers = new Map();
const MOST_VERIFIERS = 2048;

async function verifier(peer) {
  const known = verifiers.get(peer);
  if (known) return known;
  const key = await importPoint(peerBytes(peer), ECDSA, ["verify"]);
  if (verifiers.size >= MOST_VERIFIERS) verifiers.delete(verifiers.keys().next().value);
  verifiers.set(peer, key);
  return key;
}

/** Throws {@link Refusal} unless the text is the PeerID of a point of the curve. @param {string} peer */
export async function checkPeer(peer) {
  await verifier(peer);
}

/** @param {string} peer @param {Uint8Array} signature r ‖ s @param {Uint8Array} message @returns {Promise<boolean>} */
export const verifies = async (peer, signature, message) =>
  crypto.subtle.verify(SIGNING, await verifier(peer), signature, message);

/** Who a member is: a P-256 key that signs. Its private half cannot be read out of the browser. */
export class Identity {
  /** @param {CryptoKeyPair} pair @param {string} peer */
  constructor(pair, peer) {
    /** What is kept in IndexedDB. */
    this.pair = pair;
    /** The PeerID as text. */
    this.peer = peer;
  }

  /** A new one. @returns {Promise<Identity>} */
  static async generate() {
    return Identity.of(await crypto.subtle.generateKey(ECDSA, false, ["sign", "verify"]));
  }

  /** @param {CryptoKeyPair} pair */
  static async of(pair) {
    return new Identity(pair, peerText(await rawPoint(pair.publicKey)));
  }

  /** From SEA's `pub` and `priv`, as in an `identity.json`. @param {{pub: string, priv: string}} sea */
  static async fromSEA({ pub, priv }) {
    const [x, y] = pub.split(".");
    const jwk = { kty: "EC", crv: "P-256", x, y, d: priv };
    const privateKey = await crypto.subtle.importKey("jwk", jwk, ECDSA, false, ["sign"]);
    return new Identity({ privateKey, publicKey: await importPoint(peerBytes(pub), ECDSA, ["verify"]) }, pub);
  }

  /** ECDSA-P256-SHA256. @param {Uint8Array} message @returns {Promise<Uint8Array>} r ‖ s, 64 bytes */
  async sign(message) {
    return new Uint8Array(await crypto.subtle.sign(SIGNING, this.pair.privateKey, message));
  }
}

/** The ephemeral key pair of one run. Its private half never leaves memory. */
export class SessionKey {
  /** @param {CryptoKey} privateKey @param {Uint8Array} point 64 bytes */
  constructor(privateKey, point) {
    this.privateKey = privateKey;
    this.point = point;
  }

  static async generate() {
    const pair = await crypto.subtle.generateKey(ECDH, false, ["deriveBits"]);
    return new SessionKey(pair.privateKey, await rawPoint(pair.publicKey));
  }

  /** From the numbers of a key: for known answers. @param {{x: string, y: string, d: string}} numbers base64url */
  static async of({ x, y, d }) {
    const jwk = { kty: "EC", crv: "P-256", x, y, d };
    const key = await crypto.subtle.importKey("jwk", jwk, ECDH, false, ["deriveBits"]);
    return new SessionKey(key, join(fromBase64url(x), fromBase64url(y)));
  }

  /** ECDH: the shared x-coordinate. @param {Uint8Array} point @returns {Promise<Uint8Array>} 32 bytes */
  async agree(point) {
    const other = await importPoint(point, ECDH, []);
    return new Uint8Array(await crypto.subtle.deriveBits({ name: "ECDH", public: other }, this.privateKey, 256));
  }
}
