// HKDF (RFC 5869) and PBKDF2, put together from WebCrypto: its own HKDF does both steps at once, ours needs them apart.

import { join } from "../base/bytes.js";

const HASH_BYTES = 32;

/** @param {Uint8Array} key @param {Uint8Array} message @returns {Promise<Uint8Array>} HMAC-SHA256 */
async function hmac(key, message) {
  // An empty key is 32 zero bytes to HMAC, and refused by WebCrypto.
  const material = key.length ? key : new Uint8Array(HASH_BYTES);
  const imported = await crypto.subtle.importKey("raw", material, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, message));
}

/** HKDF-Extract. @param {Uint8Array} salt @param {Uint8Array} material @returns {Promise<Uint8Array>} 32 bytes */
export const extract = (salt, material) => hmac(salt, material);

/** HKDF-Expand. @param {Uint8Array} key @param {Uint8Array} info @param {number} count @returns {Promise<Uint8Array>} */
export async function expand(key, info, count) {
  let block = new Uint8Array(0);
  let output = new Uint8Array(0);
  for (let number = 1; output.length < count; number += 1) {
    block = await hmac(key, join(block, info, Uint8Array.of(number)));
    output = join(output, block);
  }
  return output.slice(0, count);
}

/** Rounds that stretch a passphrase (docs/protocol.md, "Topic"). */
export const ROUNDS = 600_000;

/** PBKDF2-HMAC-SHA256. @param {Uint8Array} passphrase @param {Uint8Array} salt @returns {Promise<Uint8Array>} 32 bytes */
export async function stretched(passphrase, salt) {
  const key = await crypto.subtle.importKey("raw", passphrase, "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt, iterations: ROUNDS };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, HASH_BYTES * 8));
}

/** @param {Uint8Array} key 32 bytes @returns {Promise<CryptoKey>} for AES-256-GCM */
export const sealingKey = (key) => crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);

/** AES-256-GCM. @returns {Promise<Uint8Array>} ciphertext ‖ 16-byte tag */
export async function seal(key, nonce, plaintext, additionalData) {
  const parameters = { name: "AES-GCM", iv: nonce, additionalData, tagLength: 128 };
  return new Uint8Array(await crypto.subtle.encrypt(parameters, key, plaintext));
}

/** @returns {Promise<Uint8Array>} the plaintext; rejects when the tag is not that of key, nonce and data */
export async function open(key, nonce, ciphertext, additionalData) {
  const parameters = { name: "AES-GCM", iv: nonce, additionalData, tagLength: 128 };
  return new Uint8Array(await crypto.subtle.decrypt(parameters, key, ciphertext));
}
