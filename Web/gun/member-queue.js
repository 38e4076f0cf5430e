// What one member is still to be given, as names: what is held under them is read when the frame is made. So it cannot
// grow beyond the graph, several writes of one key cost a slow reader one, and one who reads slowly holds nobody up.

import { nodeOf } from "./graph.js";
import { contentHash } from "./hash.js";

/** About how much of the graph goes into one frame, in characters: fewer than a data channel's messages may have. */
const FRAME_CHARACTERS = 16 * 1024;

export const address = (soul, key) => JSON.stringify([soul, key]);

/** About how many characters a record takes on the wire. */
export const costOf = (key, { value }) => 2 * key.length + (JSON.stringify(value)?.length ?? 0) + 24;

export class MemberQueue {
  /** Names of records, and queries: in the order in which they were added. @type {Map<string, object>} */
  #items = new Map();
  #answers = 0;
  /** An answer of which a part has left. */
  #begun = null;

  get isEmpty() {
    return this.#items.size === 0 && this.#begun === null;
  }

  addRecord(soul, key) {
    const name = address(soul, key);
    if (!this.#items.has(name)) this.#items.set(name, { soul, key });
  }

  /** @param {{id: string, soul?: string, key?: string, hash?: number}} query @param {number} limit */
  addAnswer(query, limit) {
    if (this.#answers >= limit) return;
    this.#answers += 1;
    this.#items.set(`answer ${query.id}`, { query });
  }

  /**
   * The next message; `null` when there is none.
   * @param {(soul: string) => Map<string, import("./graph.js").Entry> | undefined} held what may be told of a node
   * @returns {object | null}
   */
  next(held) {
    if (this.#begun) return this.#nextPart(held);
    const nodes = new Map();
    let cost = 0;
    for (const [name, { soul, key, query }] of this.#items) {
      if (query || cost >= FRAME_CHARACTERS) break;
      this.#items.delete(name);
      const entry = held(soul)?.get(key);
      if (!entry) continue;
      nodes.set(soul, [...(nodes.get(soul) ?? []), [key, entry]]);
      cost += costOf(key, entry);
    }
    if (nodes.size) return { put: Object.fromEntries([...nodes].map(([soul, entries]) => [soul, nodeOf(soul, entries)])) };
    const first = this.#items.entries().next().value;
    if (!first) return null;
    const [name, { query }] = first;
    this.#items.delete(name);
    this.#answers -= 1;
    return this.#answer(query, held);
  }

  #answer({ id, soul, key, hash }, held) {
    const node = soul === undefined ? undefined : held(soul);
    const wanted = key === undefined ? [...(node ?? [])] : node?.has(key) ? [[key, node.get(key)]] : [];
    // Nothing is there, or the asker has all of it.
    if (!wanted.length) return { "@": id };
    if (hash !== undefined && contentHash(soul, wanted) === hash) return { "@": id, "##": hash };
    this.#begun = { id, soul, rest: wanted.map(([name]) => name) };
    return this.#nextPart(held);
  }

  #nextPart(held) {
    const { id, soul, rest } = this.#begun;
    const entries = [];
    let cost = 0;
    while (cost < FRAME_CHARACTERS && rest.length) {
      const key = rest.shift();
      const entry = held(soul)?.get(key);
      if (!entry) continue;
      entries.push([key, entry]);
      cost += costOf(key, entry);
    }
    const hasMore = rest.length > 0;
    if (!hasMore) this.#begun = null;
    return { "@": id, ...(entries.length ? { put: { [soul]: nodeOf(soul, entries) } } : {}), ...(hasMore ? { "%": 1 } : {}) };
  }
}
