// Values and conflict resolution of a GUN graph: whoever has heard the same writes holds the same values.

/**
 * A link to another node: exactly one member `#`.
 * @typedef {null | boolean | number | string | {"#": string}} GunValue
 * @typedef {{value: GunValue, state: number}} Entry
 */

/** @param {unknown} value @returns {value is GunValue} whether it can be in a graph */
export function isLegal(value) {
  if (value === null || typeof value === "boolean" || typeof value === "string") return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || Array.isArray(value)) return false;
  const members = Object.keys(value);
  return members.length === 1 && members[0] === "#" && typeof value["#"] === "string" && value["#"] !== "";
}

/**
 * Whether a write wins over what is held: the later state, and of two equal states the value whose JSON text is greater,
 * by UTF-16 code units.
 * @param {Entry} incoming @param {Entry | undefined} held
 */
export function supersedes(incoming, held) {
  if (!held) return true;
  if (incoming.state !== held.state) return incoming.state > held.state;
  if (incoming.value === held.value) return false;
  return JSON.stringify(incoming.value) > JSON.stringify(held.value);
}

/**
 * The records of a put; throws what is wrong with it, for a put with a fault is refused whole.
 * @param {unknown} graph
 * @returns {{soul: string, key: string, value: GunValue, state: number}[]}
 */
export function recordsOf(graph) {
  if (graph === null || typeof graph !== "object" || Array.isArray(graph)) throw new TypeError("no graph");
  const records = [];
  for (const [soul, node] of Object.entries(graph)) {
    const meta = node?._;
    const states = meta?.[">"];
    if (!soul || meta?.["#"] !== soul || states === null || typeof states !== "object") throw new TypeError("no node");
    for (const [key, value] of Object.entries(node)) {
      if (key === "_") continue;
      const state = Object.hasOwn(states, key) ? states[key] : undefined;
      if (!key || typeof state !== "number" || !Number.isFinite(state) || !isLegal(value)) throw new TypeError("no value");
      records.push({ soul, key, value, state });
    }
  }
  return records;
}

/** The wire form of one node. @param {string} soul @param {Iterable<[string, Entry]>} entries */
export function nodeOf(soul, entries) {
  const pairs = [...entries];
  // `fromEntries` makes members of any name, `__proto__` included.
  const states = Object.fromEntries(pairs.map(([key, entry]) => [key, entry.state]));
  return Object.fromEntries([["_", { "#": soul, ">": states }], ...pairs.map(([key, entry]) => [key, entry.value])]);
}

/** States of our own writes: the wall clock, made strictly increasing by fractions of a millisecond. */
export class StateClock {
  #last = -Infinity;

  /** @param {number} wall milliseconds since 1970 */
  next(wall) {
    if (this.#last < wall || this.#last > wall + 1_000) this.#last = wall;
    else this.#last += this.#last < wall + 0.5 ? 0.001 : 0.00025;
    return this.#last;
  }
}
