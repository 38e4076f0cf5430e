// The shared graph, as an application sees it: `swarm.graph.get("board").put({colour: "red"})`.

import { Mailbox } from "./base/mailbox.js";
import { isLegal } from "./gun/graph.js";
import { contentOf } from "./gun/user-space.js";

const MOST_UNREAD = 1_000;

/** One node of the graph. */
export class GraphNode {
  #graph;

  /** @param {Graph} graph @param {string} soul */
  constructor(graph, soul) {
    this.#graph = graph;
    this.soul = soul;
  }

  /**
   * Writes keys of the node; they reach every member that watches it. `null` stands for what is deleted. In a node of one's
   * own (see {@link Graph.own}) they are signed.
   * @param {Record<string, import("./gun/graph.js").GunValue>} values
   */
  put(values) {
    const entries = Object.entries(values);
    for (const [key, value] of entries) {
      if (!key || key === "_" || !isLegal(value)) {
        throw new TypeError("a key is not empty, and a value is null, true, false, a number, a text or a link");
      }
    }
    this.#graph.put(this.soul, entries);
    return this;
  }

  /** What is known of it now. @returns {Record<string, import("./gun/graph.js").GunValue>} */
  get value() {
    return Object.fromEntries(this.#graph.node(this.soul));
  }

  /**
   * Reports every change from now on, and what is known already.
   * @param {(key: string, value: import("./gun/graph.js").GunValue) => void} listener
   * @returns {() => void} ends it
   */
  on(listener) {
    return this.#graph.watch(this.soul, listener);
  }

  /** Its changes: `for await (const {key, value} of swarm.graph.get("board"))`. */
  [Symbol.asyncIterator]() {
    const mailbox = new Mailbox({ limit: MOST_UNREAD });
    const stop = this.on((key, value) => mailbox.push({ key, value }));
    return {
      next: () => mailbox.next(),
      return: async () => {
        stop();
        mailbox.finish();
        return { value: undefined, done: true };
      },
    };
  }
}

export class Graph {
  /** @type {Map<string, Set<(key: string, value: unknown) => void>>} */
  #listeners = new Map();
  #engine;

  /** @param {() => import("./member/engine.js").Engine} engine the present run */
  constructor(engine) {
    this.#engine = engine;
  }

  /** @param {string} soul names the node @returns {GraphNode} */
  get(soul) {
    if (!soul) throw new TypeError("a soul is not empty");
    return new GraphNode(this, soul);
  }

  /** This member's own node: what is written there it signs, and nobody else writes. */
  get own() {
    return this.user(this.#engine().peerID);
  }

  /** The node of a member, which only that member writes. @param {string} peer its PeerID @returns {GraphNode} */
  user(peer) {
    return this.get(`~${peer}`);
  }

  /** @internal */
  put(soul, entries) {
    this.#engine().put(soul, entries, (written) => {
      for (const [key, value] of written) this.changed(soul, key, value);
    });
  }

  /** @internal */
  node(soul) {
    return this.#engine().gun.node(soul).map(([key, value]) => [key, contentOf(soul, value)]);
  }

  /** @internal */
  watch(soul, listener) {
    for (const [key, value] of this.node(soul)) listener(key, value);
    if (!this.#listeners.has(soul)) this.#listeners.set(soul, new Set());
    this.#listeners.get(soul).add(listener);
    this.#follow(soul);
    return () => {
      const listeners = this.#listeners.get(soul);
      listeners?.delete(listener);
      if (listeners?.size) return;
      this.#listeners.delete(soul);
      this.#engine().gun.unsubscribe(soul);
    };
  }

  #follow(soul) {
    this.#engine().gun.subscribe(soul, { isShared: true });
    this.#engine().poke();
  }

  /** @internal A new run follows what the former did. */
  resubscribe() {
    for (const soul of this.#listeners.keys()) this.#follow(soul);
  }

  /** @internal */
  changed(soul, key, value) {
    for (const listener of this.#listeners.get(soul) ?? []) listener(key, contentOf(soul, value));
  }
}
