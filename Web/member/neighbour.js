// What is known of a member as one who forwards, or for whom is forwarded (docs/protocol.md, "Mesh").

import { Reader } from "../base/bytes.js";
import { peerBytes } from "../sealing/keys.js";

/** What is handed on of each member: bytes in a second, bytes at once, and what a datagram counts for beside its own. */
export const FORWARDING = Object.freeze({ bytesPerSecond: 256 * 1024, burst: 1024 * 1024, overhead: 256 });

/** The first eight bytes of a PeerID: how members speak of their neighbours. @param {string} peer @returns {bigint} */
export const prefixOf = (peer) => new Reader(peerBytes(peer)).u64();

export class MeshNeighbour {
  /** Whom it says it is connected with. @type {Set<bigint>} */
  neighbours = new Set();
  /** It hands on what is for its neighbours. */
  forwards = false;
  /** Whom it was told last that we are connected with; `null` when nothing was said on this connection. */
  told = null;
  /** How the records of others were dated that it was given on this connection. @type {Map<string, number>} */
  introduced = new Map();
  /** Through whom we reach it now, and since when. */
  forwarder = null;
  chosenAt = -Infinity;
  #limits;
  #budget;
  #budgetAt = null;

  constructor(limits = FORWARDING) {
    this.#limits = limits;
    this.#budget = limits.burst;
  }

  /** Whether so many bytes of it may be forwarded now. */
  mayForward(bytes, now) {
    const { bytesPerSecond, burst, overhead } = this.#limits;
    const gained = this.#budgetAt === null ? 0 : ((now - this.#budgetAt) / 1_000) * bytesPerSecond;
    this.#budget = Math.min(this.#budget + gained, burst);
    this.#budgetAt = now;
    if (this.#budget < bytes + overhead) return false;
    this.#budget -= bytes + overhead;
    return true;
  }

  /** Its connection is gone. */
  disconnected() {
    this.neighbours.clear();
    this.told = null;
    this.introduced.clear();
  }
}
