// The signals that were taken lately: each counts once, by whichever carriers it comes.

/** How long a signal is remembered, in milliseconds, and how many are. */
const KEPT = 300_000;
const MOST = 8_192;

export class SeenSignals {
  /** Ids, and by which planes they came. @type {Map<bigint, {planes: Set<string>, at: number}>} */
  #seen = new Map();

  /**
   * @param {bigint} id @param {string} plane @param {number} now
   * @returns {"new" | "copy" | "replayed"} a copy came by another carrier, and is harmless
   */
  sight(id, plane, now) {
    for (const [known, { at }] of this.#seen) {
      if (now - at <= KEPT && this.#seen.size < MOST) break;
      this.#seen.delete(known);
    }
    const seen = this.#seen.get(id);
    if (!seen) {
      this.#seen.set(id, { planes: new Set([plane]), at: now });
      return "new";
    }
    if (seen.planes.has(plane)) return "replayed";
    seen.planes.add(plane);
    return "copy";
  }
}
