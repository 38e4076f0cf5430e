// Decides which priority goes next: start-time fair queueing (Goyal, Vin, Cheng 1996) among the four, by bytes and weights.

import { BY_URGENCY, WEIGHTS } from "./lane.js";

export class SendScheduler {
  #virtualTime = 0;
  /** By rank: when what each has sent would be through. */
  #finish = [0, 0, 0, 0];

  /**
   * What goes next, of what each rank has to send.
   * @template T
   * @param {(rank: number) => T | null} next
   * @returns {{rank: number, flow: T} | null}
   */
  choose(next) {
    let best = null;
    // Of those that tie the most urgent goes.
    for (const rank of BY_URGENCY) {
      const flow = next(rank);
      if (flow === null) continue;
      const start = Math.max(this.#virtualTime, this.#finish[rank]);
      if (!best || start < best.start) best = { rank, flow, start };
    }
    return best;
  }

  /** So many bytes of a rank have gone. */
  sent(bytes, rank) {
    this.#virtualTime = Math.max(this.#virtualTime, this.#finish[rank]);
    this.#finish[rank] = this.#virtualTime + Math.floor((bytes * 64) / WEIGHTS[rank]);
  }
}
