// What one needs to join a swarm: a magnet link or a plain name, and the passphrase of a private swarm.

import { fromHexadecimal, hexadecimal } from "./base/bytes.js";
import { socketURL } from "./base/link.js";
import { infoHashOfName } from "./sealing/topic.js";

const LONGEST_LINK = 16 * 1024;
const MOST_SITES = 32;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** @param {string} text 32 characters @returns {Uint8Array} 20 bytes */
function fromBase32(text) {
  let bits = "";
  for (const character of text.toUpperCase()) bits += BASE32.indexOf(character).toString(2).padStart(5, "0");
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => parseInt(byte, 2));
}

/** Each once, as many as are used. @param {string[]} urls @param {string[]} schemes */
const sites = (urls, schemes) =>
  [...new Set(urls.filter((url) => socketURL(url) && schemes.includes(new URL(url).protocol)))].slice(0, MOST_SITES);

/** RFC 3986 §2.3's unreserved characters stay. @param {string} text */
const percentEncoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export class Invite {
  /**
   * @param {object} parts
   * @param {Uint8Array} parts.infoHash
   * @param {string | null} parts.name
   * @param {string[]} [parts.trackers]
   * @param {string[]} [parts.relays]
   * @param {string} [parts.secret]
   */
  constructor({ infoHash, name, trackers = [], relays = [], secret }) {
    this.infoHash = infoHash;
    this.name = name;
    this.trackers = sites(trackers, ["ws:", "wss:"]);
    this.relays = sites(relays, ["ws:", "wss:", "http:", "https:"]);
    /** The passphrase; a link never holds it. */
    this.secret = secret || undefined;
  }

  /**
   * Reads a magnet link, or takes any other text as the name of a swarm: everybody who uses the same name meets.
   * @param {string} text
   * @param {{secret?: string, trackers?: string[], relays?: string[]}} [options] sites beside those of the link
   * @returns {Promise<Invite>}
   */
  static async parse(text, { secret, trackers = [], relays = [] } = {}) {
    const trimmed = text.trim();
    if (!trimmed) throw new TypeError("give a magnet link or the name of a swarm");
    if (!/^magnet:/i.test(trimmed)) {
      return new Invite({ infoHash: await infoHashOfName(trimmed, secret), name: trimmed, trackers, relays, secret });
    }
    if (trimmed.length > LONGEST_LINK) throw new TypeError("this magnet link is too long");
    const parameters = new URLSearchParams(trimmed.slice(trimmed.indexOf("?") + 1).replaceAll("+", "%2B"));
    const all = (name) => [...parameters].filter(([key]) => key.replace(/\.\d+$/, "") === name).map(([, value]) => value);
    const hash = all("xt").map((xt) => /^urn:btih:([0-9a-f]{40}|[a-z2-7]{32})$/i.exec(xt)?.[1]).find(Boolean);
    if (!hash) throw new TypeError("this magnet link names no infohash: ask for one with xt=urn:btih:");
    return new Invite({
      infoHash: hash.length === 40 ? fromHexadecimal(hash) : fromBase32(hash), name: all("dn")[0] ?? null,
      trackers: [...trackers, ...all("tr")], relays: [...relays, ...all("x.gun")], secret,
    });
  }

  /** The magnet link by which others join. */
  get magnet() {
    const name = this.name ? [`dn=${percentEncoded(this.name)}`] : [];
    const trackers = this.trackers.map((url) => `tr=${percentEncoded(url)}`);
    const relays = this.relays.map((url) => `x.gun=${percentEncoded(url)}`);
    return `magnet:?${[`xt=urn:btih:${hexadecimal(this.infoHash)}`, ...name, ...trackers, ...relays].join("&")}`;
  }
}
