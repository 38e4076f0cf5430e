// HPKE (RFC 9180), base mode, one message: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Put together from
// WebCrypto's ECDH, HMAC and AES-GCM; no primitive of our own.

import { join, Refusal, utf8, Writer } from "../base/bytes.js";
import { expand, extract, open, seal, sealingKey } from "./derivation.js";
import { SessionKey } from "./keys.js";

const KEM = 0x0010;
const KDF = 0x0001;
const AEAD = 0x0002;
const ENCAPSULATED_BYTES = 65;
const EMPTY = new Uint8Array(0);
const VERSION = utf8("HPKE-v1");
const KEM_SUITE = join(utf8("KEM"), new Writer().u16(KEM).bytes);
const SUITE = join(utf8("HPKE"), new Writer().u16(KEM).u16(KDF).u16(AEAD).bytes);

// RFC 9180 §4.
const labeledExtract = (suite, salt, word, material) => extract(salt, join(VERSION, suite, utf8(word), material));
const labeledExpand = (suite, key, word, info, count) =>
  expand(key, join(new Writer().u16(count).bytes, VERSION, suite, utf8(word), info), count);

/** §4.1: the shared secret of a Diffie-Hellman result and both public halves. */
async function sharedSecret(agreed, encapsulated, recipient) {
  const key = await labeledExtract(KEM_SUITE, EMPTY, "eae_prk", agreed);
  return labeledExpand(KEM_SUITE, key, "shared_secret", join(encapsulated, recipient), 32);
}

/** §5.1, mode 0. */
async function schedule(secret, info) {
  const pskIDHash = await labeledExtract(SUITE, EMPTY, "psk_id_hash", EMPTY);
  const infoHash = await labeledExtract(SUITE, EMPTY, "info_hash", info);
  const context = join(Uint8Array.of(0), pskIDHash, infoHash);
  const key = await labeledExtract(SUITE, secret, "secret", EMPTY);
  return {
    key: await sealingKey(await labeledExpand(SUITE, key, "key", context, 32)),
    // The nonce of the first message is the base nonce itself.
    nonce: await labeledExpand(SUITE, key, "base_nonce", context, 12),
  };
}

const uncompressed = (point) => join(Uint8Array.of(4), point);

/**
 * @param {Uint8Array} recipient the public key, 64 bytes
 * @param {Uint8Array} info
 * @param {Uint8Array} plaintext
 * @param {Uint8Array} [additionalData]
 * @returns {Promise<Uint8Array>} encapsulated key (65) ‖ ciphertext ‖ tag
 */
export async function sealTo(recipient, info, plaintext, additionalData = EMPTY) {
  const own = await SessionKey.generate();
  const encapsulated = uncompressed(own.point);
  const secret = await sharedSecret(await own.agree(recipient), encapsulated, uncompressed(recipient));
  const { key, nonce } = await schedule(secret, info);
  return join(encapsulated, await seal(key, nonce, plaintext, additionalData));
}

/** @param {SessionKey} own @param {Uint8Array} info @param {Uint8Array} sealed @returns {Promise<Uint8Array>} */
export async function openWith(own, info, sealed, additionalData = EMPTY) {
  if (sealed.length <= ENCAPSULATED_BYTES || sealed[0] !== 4) throw new Refusal("malformed");
  const encapsulated = sealed.subarray(0, ENCAPSULATED_BYTES);
  try {
    const agreed = await own.agree(encapsulated.slice(1));
    const { key, nonce } = await schedule(await sharedSecret(agreed, encapsulated, uncompressed(own.point)), info);
    return await open(key, nonce, sealed.subarray(ENCAPSULATED_BYTES), additionalData);
  } catch {
    throw new Refusal("notForUs");
  }
}
