// What is to be acknowledged, on which path, and when at the latest.

import { LANES } from "./lane.js";

/** @typedef {import("./session.js").Carrier} Carrier */

export class AcknowledgementsDue {
  /** @type {Record<Carrier, number>} */
  #at = { connection: Infinity, relay: Infinity, mesh: Infinity };
  /** The lanes of each path, a bit each. @type {Record<Carrier, number>} */
  #lanes = { connection: 0, relay: 0, mesh: 0 };
  /** @type {Record<Carrier, Set<bigint>>} */
  #streams = { connection: new Set(), relay: new Set(), mesh: new Set() };
  /** Outcomes of these lanes are to be confirmed, on whichever path something goes next. */
  #confirmations = 0;

  get isEmpty() {
    return Object.values(this.#at).every((at) => at === Infinity);
  }

  /** @param {Carrier} carrier @returns {number} */
  at(carrier) {
    return this.#at[carrier];
  }

  addLane(lane, carrier, at) {
    this.#lanes[carrier] |= 1 << lane;
    this.#at[carrier] = Math.min(this.#at[carrier], at);
  }

  addStream(id, carrier, at) {
    this.#streams[carrier].add(id);
    this.#at[carrier] = Math.min(this.#at[carrier], at);
  }

  addConfirmation(lane, carrier) {
    this.#confirmations |= 1 << lane;
    this.#at[carrier] = 0;
  }

  forget(carrier) {
    this.#at[carrier] = Infinity;
    this.#lanes[carrier] = 0;
    this.#streams[carrier].clear();
  }

  /** @returns {number | null} */
  popLane(carrier) {
    const lane = lowest(this.#lanes[carrier]);
    if (lane !== null) this.#lanes[carrier] &= ~(1 << lane);
    return lane;
  }

  /** @returns {bigint | null} */
  popStream(carrier) {
    for (const id of this.#streams[carrier]) {
      this.#streams[carrier].delete(id);
      return id;
    }
    return null;
  }

  /** @returns {number | null} */
  popConfirmation() {
    const lane = lowest(this.#confirmations);
    if (lane !== null) this.#confirmations &= ~(1 << lane);
    return lane;
  }

  /** All of a path has been said, unless something is left. */
  said(carrier) {
    if (!this.#lanes[carrier] && !this.#streams[carrier].size) this.#at[carrier] = Infinity;
  }
}

function lowest(bits) {
  for (let lane = 0; lane < LANES; lane += 1) if (bits & (1 << lane)) return lane;
  return null;
}
