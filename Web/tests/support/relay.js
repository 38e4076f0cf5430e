// A GUN relay in memory, and WebSockets that lead to it: what keeps souls, answers queries, passes on and acknowledges.

import { isLegal, nodeOf, recordsOf, supersedes } from "../../gun/graph.js";

/** @type {Map<string, Relay>} */
const relays = new Map();

export class Relay {
  nodes = new Map();
  sockets = new Set();
  #followers = new Map();
  isDown = false;

  constructor(url) {
    this.url = new URL(url).href;
    relays.set(this.url, this);
  }

  /** It ends, and everything it knew with it. */
  kill() {
    this.isDown = true;
    this.nodes.clear();
    this.#followers.clear();
    for (const socket of [...this.sockets]) socket.end();
  }

  restart() {
    this.isDown = false;
  }

  receive(socket, frame) {
    const parsed = JSON.parse(frame);
    for (const message of Array.isArray(parsed) ? parsed : [parsed]) this.#handle(socket, message);
  }

  #handle(socket, message) {
    if (message.put) {
      const won = recordsOf(message.put).filter((record) => this.#merge(record));
      for (const { soul, key, value, state } of won) {
        const text = JSON.stringify({ put: { [soul]: nodeOf(soul, [[key, { value, state }]]) }, "#": `${Math.random()}` });
        for (const follower of this.#followers.get(soul) ?? []) if (follower !== socket) follower.deliver(text);
      }
      if (!message["@"]) socket.deliver(JSON.stringify({ "@": message["#"], ok: { "": 1 }, "#": `${Math.random()}` }));
    }
    if (message.get) {
      const { "#": soul, ".": key } = message.get;
      if (!this.#followers.has(soul)) this.#followers.set(soul, new Set());
      this.#followers.get(soul).add(socket);
      const entries = [...(this.nodes.get(soul) ?? [])].filter(([name]) => key === undefined || name === key);
      const put = entries.length ? { put: { [soul]: nodeOf(soul, entries) } } : {};
      socket.deliver(JSON.stringify({ "@": message["#"], ...put, "#": `${Math.random()}` }));
    }
  }

  #merge({ soul, key, value, state }) {
    if (!isLegal(value)) return false;
    if (!this.nodes.has(soul)) this.nodes.set(soul, new Map());
    const node = this.nodes.get(soul);
    if (!supersedes({ value, state }, node.get(key))) return false;
    node.set(key, { value, state });
    return true;
  }
}

export class FakeWebSocket {
  #relay;
  #isOpen = false;

  constructor(url) {
    this.#relay = relays.get(new URL(url).href);
    setTimeout(() => {
      if (!this.#relay || this.#relay.isDown) return this.onclose?.();
      this.#isOpen = true;
      this.#relay.sockets.add(this);
      this.onopen?.();
    }, 1);
  }

  send(text) {
    if (this.#isOpen) setTimeout(() => this.#isOpen && this.#relay.receive(this, text), 1);
  }

  deliver(data) {
    if (this.#isOpen) setTimeout(() => this.#isOpen && this.onmessage?.({ data }), 1);
  }

  end() {
    this.close();
    this.onclose?.();
  }

  close() {
    this.#isOpen = false;
    this.#relay?.sockets.delete(this);
  }
}
