// What is held of the souls that are followed, written to or shared: within a bound.

import { supersedes } from "./graph.js";
import { costOf } from "./member-queue.js";

/** @typedef {import("./graph.js").Entry} Entry */

export class HeldGraph {
  /** @type {Map<string, Map<string, Entry>>} */
  #nodes = new Map();
  #cost = 0;
  #limits;
  #stays;

  /**
   * @param {{keysOfSoul: number, graphCharacters: number}} limits
   * @param {(soul: string) => boolean} stays whether a node is to stay when there is no room
   */
  constructor(limits, stays) {
    this.#limits = limits;
    this.#stays = stays;
  }

  /** @param {string} soul @returns {Map<string, Entry> | undefined} */
  node(soul) {
    return this.#nodes.get(soul);
  }

  /** @returns {Entry | undefined} */
  entry(soul, key) {
    return this.#nodes.get(soul)?.get(key);
  }

  /**
   * Takes an entry if it wins over what is held.
   * @param {string} soul @param {string} key @param {Entry} entry
   * @param {boolean} isFleeting only its state is held: of two equal states the first counts
   * @returns {boolean} whether it won
   */
  merge(soul, key, entry, isFleeting) {
    let node = this.#nodes.get(soul);
    const held = node?.get(key);
    if (isFleeting ? held && entry.state <= held.state : !supersedes(entry, held)) return false;
    if (!node) this.#nodes.set(soul, (node = new Map()));
    if (held) this.#drop(node, key);
    const kept = isFleeting ? { value: null, state: entry.state } : entry;
    node.set(key, kept);
    this.#cost += costOf(key, kept);
    if (node.size > this.#limits.keysOfSoul) this.#drop(node, node.keys().next().value);
    if (this.#cost > this.#limits.graphCharacters) this.#makeRoom();
    return true;
  }

  /** @param {string} soul */
  forget(soul) {
    const node = this.#nodes.get(soul);
    if (!node) return;
    for (const key of [...node.keys()]) this.#drop(node, key);
    this.#nodes.delete(soul);
  }

  #drop(node, key) {
    this.#cost -= costOf(key, node.get(key));
    node.delete(key);
  }

  /** Nodes that need not stay go first; then keys of those that should, the oldest first. */
  #makeRoom() {
    for (const soul of [...this.#nodes.keys()]) {
      if (this.#cost <= this.#limits.graphCharacters) return;
      if (!this.#stays(soul)) this.forget(soul);
    }
    for (const node of this.#nodes.values()) {
      for (const key of node.keys()) {
        if (this.#cost <= this.#limits.graphCharacters) return;
        this.#drop(node, key);
      }
    }
  }
}
