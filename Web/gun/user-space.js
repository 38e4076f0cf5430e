// GUN's rule of user space: nodes that a key owns take what it has signed, or what holders of its certificates have; nodes
// named by content take that content only. Signatures are SEA's.

import { base64url, fromBase64url, join as joinBytes, utf8 } from "../base/bytes.js";
import { peerText, verifies } from "../sealing/keys.js";

/** @param {unknown} value @returns {string | undefined} the soul that a link names */
const linkedSoul = (value) =>
  value !== null && typeof value === "object" && Object.keys(value).length === 1 && typeof value["#"] === "string" ? value["#"] : undefined;

/** Whether the graph can hold it, the empty link included. */
const isGraphValue = (value) =>
  value === null || ["boolean", "string"].includes(typeof value) || Number.isFinite(value) || linkedSoul(value) !== undefined;

/**
 * The public key that owns a node; `null` when nobody does. What stands between the first `~` and the next (or the end) is
 * split at every character outside `[A-Za-z0-9_-]`; with two or more parts the owner is the first two.
 * @param {string} soul @returns {string | null}
 */
export function ownerOf(soul) {
  const inside = soul.split("~")[1];
  const parts = inside?.split(/[^A-Za-z0-9_-]/) ?? [];
  return parts.length >= 2 ? `${parts[0]}.${parts[1]}` : null;
}

// SEA's texts and signatures.

/** SEA's reading of a text: without the prefix of `SEA{`, as JSON when it is JSON, else as a text. */
function parsed(text) {
  const rest = text.startsWith("SEA{") ? text.slice(3) : text;
  try {
    return JSON.parse(rest);
  } catch {
    return rest;
  }
}

/** Base64 with padding (RFC 4648 §4). @param {Uint8Array} bytes */
const base64 = (bytes) => {
  const characters = base64url(bytes).replaceAll("-", "+").replaceAll("_", "/");
  return characters.padEnd(Math.ceil(characters.length / 4) * 4, "=");
};

function fromBase64(characters) {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(characters)) return null;
  try {
    return fromBase64url(characters.replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_"));
  } catch {
    return null;
  }
}

/** The bytes that ECDSA signs (and hashes once more): SHA-256 of a text itself, of anything else as JSON. */
const digest = async (value) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(typeof value === "string" ? value : JSON.stringify(value))));

async function isSigned(value, signature, pub) {
  const bytes = typeof signature === "string" ? fromBase64(signature) : null;
  if (bytes?.length !== 64 || !/^[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}$/.test(pub)) return false;
  try {
    const key = peerText(joinBytes(...pub.split(".").map(fromBase64url)));
    return await verifies(key, bytes, await digest(value));
  } catch {
    return false;
  }
}

/** What is signed for one key of one node at one state; its members are in this order. */
const bound = ({ soul, key, state }, value) => ({ "#": soul, ".": key, ":": value, ">": state });

/** What the text of a signed value holds, before anything of it is verified. */
function signedValue(text) {
  if (typeof text !== "string" || /[\ud800-\udfff]/u.test(text)) return null;
  let signed;
  try {
    signed = JSON.parse(text);
  } catch {
    return null;
  }
  if (signed === null || typeof signed !== "object" || !(":" in signed) || !isGraphValue(signed[":"])) return null;
  const { ":": value, "~": signature, "*": author, "+": certificate } = signed;
  if (author !== undefined && typeof author !== "string") return null;
  return { value, signature, author, certificate: typeof certificate === "string" ? parsed(certificate) : certificate };
}

/** The value as an application is to see it: without the signature in nodes that a key owns; nothing is verified here. */
export function contentOf(soul, value) {
  return ownerOf(soul) === null ? value : (signedValue(value) ?? { value }).value;
}

/**
 * The text that stands for a value in a node of one's own.
 * @param {{soul: string, key: string, state: number}} position
 * @param {import("../sealing/keys.js").Identity} identity
 */
export async function signedText(value, position, identity) {
  const signature = await identity.sign(await digest(bound(position, value)));
  return JSON.stringify({ ":": value, "~": base64(signature) });
}

// Certificates.

/** GUN's rule for comparing one text with a text or a lex. */
export function fits(text, lex) {
  if (typeof lex === "string") return text === lex;
  if (lex === null || typeof lex !== "object" || Array.isArray(lex)) return false;
  const { "=": exact, "*": prefix, ">": lower, "<": upper } = lex;
  if (exact !== undefined) return exact === text;
  if (typeof text !== "string") return false;
  if (prefix !== undefined) return typeof prefix === "string" && prefix !== "" && text.startsWith(prefix);
  const bounds = [lower, upper].filter((bound) => bound !== undefined);
  if (!bounds.length || bounds.some((bound) => typeof bound !== "string")) return false;
  return (lower === undefined || text >= lower) && (upper === undefined || text <= upper);
}

function isHeldBy(holders, pub) {
  if (Array.isArray(holders)) return holders.includes("*") || holders.includes(pub);
  return holders === "*" || holders === pub;
}

/** @returns {number} the last state that may be written; one that says nothing has expired always */
function expiryOf({ e: expiry }) {
  if (typeof expiry === "number") return expiry;
  if (typeof expiry !== "string") return Infinity;
  return expiry.trim() && Number.isFinite(Number(expiry)) ? Number(expiry) : -Infinity;
}

/** Whether a policy lets a key write there. */
function permits({ w: write }, path, key, pub) {
  const whole = path ? `${path}/${key}` : key;
  const covers = (entry) => {
    const { "#": soulLex, ".": keyLex } = entry !== null && typeof entry === "object" ? entry : {};
    const fitsSoul = soulLex === undefined || fits(path, soulLex);
    const fitsKey = keyLex === undefined || fits(key, keyLex);
    if ((soulLex !== undefined || keyLex !== undefined) && fitsSoul && fitsKey) return true;
    return fits(whole, soulLex ?? entry);
  };
  const entry = (Array.isArray(write) ? write : [write]).find((each) => each !== undefined && covers(each));
  if (entry === undefined) return false;
  const mustNameHolder = typeof entry?.["+"] === "string" && entry["+"].includes("*");
  return !mustNameHolder || path.includes(pub) || key.includes(pub);
}

/** Whether an author is on the block list that a certificate names. */
function isBlocked(author, list, owner, lookup) {
  let soul = linkedSoul(list);
  if (typeof list === "string" && list.startsWith("~")) soul = list;
  else if (typeof list === "string" && list) {
    const account = `~${owner}`;
    soul = linkedSoul(contentOf(account, lookup(account, list))) ?? `${account}/${list}`;
  }
  if (!soul) return false;
  const value = contentOf(soul, lookup(soul, author));
  return value === true || value === 1;
}

// The rule.

async function decideOwned({ soul, key, value, state }, owner, lookup) {
  if (key === "pub" && soul === `~${owner}`) return value === owner;
  const signed = signedValue(value);
  const author = signed?.author ?? owner;
  if (!signed || !(await isSigned(bound({ soul, key, state }, signed.value), signed.signature, author))) return false;
  if (author === owner) return true;
  const { m: message, s: signature } = signed.certificate ?? {};
  if (message === undefined || !(await isSigned(message, signature, owner))) return false;
  const policy = typeof message === "string" ? parsed(message) : message;
  if (policy === null || typeof policy !== "object" || !isHeldBy(policy.c, author) || state > expiryOf(policy)) return false;
  const path = soul.includes("/") ? soul.slice(soul.indexOf("/") + 1) : "";
  return permits(policy, path, key, author) && !isBlocked(author, policy.wb, owner, lookup);
}

async function decideByHash({ key, value }) {
  const hash = await digest(value);
  const tail = key.slice(key.lastIndexOf("#") + 1);
  return tail === base64(hash) || tail === Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Who may write what: for a record that would win.
 * @param {{soul: string, key: string, value: import("./graph.js").GunValue, state: number}} record
 * @param {number} wall milliseconds since 1970
 * @param {(soul: string, key: string) => import("./graph.js").GunValue | undefined} lookup what is held
 * @returns {boolean | Promise<boolean>} at once where nothing is to be verified
 */
export function mayBeWritten(record, wall, lookup) {
  const { soul, key, value, state } = record;
  const lifetime = /<\?([0-9.]+)/.exec(soul)?.[1];
  if (lifetime !== undefined && state < wall - Number(lifetime) * 1_000) return false;
  if (soul === "~@") return linkedSoul(value) === soul + key;
  if (soul.startsWith("~@")) return Boolean(value) && linkedSoul(value) === key;
  const owner = ownerOf(soul);
  if (owner !== null) return decideOwned(record, owner, lookup);
  return soul.includes("#") ? decideByHash(record) : true;
}
