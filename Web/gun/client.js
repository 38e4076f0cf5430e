// A GUN peer that writes and listens through any number of relays at once.
//
// Puts go out on every open link. A durable one is kept until a relay has it: sent again after a reconnect, and after a
// silence, then with a query that reads it back, for relays do not acknowledge what they knew already.

import { randomBytes } from "../base/bytes.js";
import { nodeOf, recordsOf, supersedes } from "./graph.js";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXZabcdefghijklmnopqrstuvwxyz";
const randomID = () => Array.from(randomBytes(12), (byte) => ALPHABET[byte % ALPHABET.length]).join("");

/** Bounds; times in milliseconds. */
const LIMITS = Object.freeze({
  frameCharacters: 4 << 20,
  batchCharacters: 64 << 10,
  attempts: 4,
  acknowledgementTimeout: 4_000,
  acknowledgedLifetime: 60_000,
  sent: 4_096,
  keysOfSoul: 10_000,
  outbox: 4_096,
  deferred: 512,
  futureTolerance: 24 * 3_600_000,
  answersPerSecond: 50,
});

const address = (soul, key) => JSON.stringify([soul, key]);

export class GunClient {
  /** @type {Set<import("../base/link.js").Link>} */
  #open = new Set();
  /** What is held of the souls we follow or wrote to. @type {Map<string, Map<string, import("./graph.js").Entry>>} */
  #nodes = new Map();
  /** Souls that are followed; of a fleeting one only the states are held. @type {Map<string, {isFleeting: boolean}>} */
  #subscriptions = new Map();
  #outbox = new Map();
  /** What our messages were for, by their id. */
  #sent = new Map();
  #pid = randomID();
  #deferred = new Set();
  #answers = { tokens: LIMITS.answersPerSecond, at: 0 };
  #changed;
  #wall;
  #now;

  /**
   * @param {object} owner
   * @param {(soul: string, key: string, value: import("./graph.js").GunValue) => void} owner.changed someone else's write won
   * @param {() => number} owner.wall milliseconds since 1970
   * @param {() => number} owner.now milliseconds of a clock that never steps
   */
  constructor({ changed, wall, now }) {
    this.#changed = changed;
    this.#wall = wall;
    this.#now = now;
  }

  get isConnected() {
    return this.#open.size > 0;
  }

  /** How many durable puts no relay has acknowledged yet. */
  get unacknowledgedCount() {
    let count = 0;
    for (const entry of this.#outbox.values()) if (entry.acknowledgedAt === null) count += 1;
    return count;
  }

  // Links.

  /** A relay is connected: it is asked for all we follow, and given what it may lack. */
  linkOpened(link) {
    this.#open.add(link);
    const messages = [];
    for (const soul of this.#subscriptions.keys()) messages.push(this.#query(soul));
    for (const entry of this.#outbox.values()) {
      if (!entry.acknowledgedBy.has(link)) messages.push(this.#putMessage(entry, link, 1));
    }
    this.#transmit(link, messages);
  }

  linkClosed(link) {
    this.#open.delete(link);
    for (const entry of this.#outbox.values()) entry.waiting.delete(link);
  }

  #transmit(link, messages) {
    let batch = [];
    let size = 0;
    const flush = () => {
      if (batch.length) link.send(batch.length === 1 ? batch[0] : `[${batch.join(",")}]`);
      batch = [];
      size = 0;
    };
    for (const message of messages) {
      const text = JSON.stringify(message);
      if (size + text.length > LIMITS.batchCharacters) flush();
      batch.push(text);
      size += text.length;
    }
    flush();
  }

  // Writing.

  /**
   * Writes keys of one node.
   * @param {string} soul
   * @param {Iterable<[string, import("./graph.js").GunValue]>} values
   * @param {number} state
   * @param {boolean} isDurable whether to keep and repeat it until a relay has it
   */
  put(soul, values, state, isDurable) {
    const entries = [];
    for (const [key, value] of values) {
      const entry = { value, state };
      if (isDurable && !this.#merge(soul, key, entry)) continue;
      entries.push([key, entry]);
      if (isDurable) this.#keep(soul, key, entry);
    }
    if (!entries.length) return;
    const id = randomID();
    if (isDurable) this.#remember(id, { kind: "put", addresses: entries.map(([key]) => address(soul, key)), state });
    const text = JSON.stringify({ put: { [soul]: nodeOf(soul, entries) }, "#": id });
    for (const link of this.#open) link.send(text);
  }

  #keep(soul, key, { value, state }) {
    const name = address(soul, key);
    this.#outbox.delete(name);
    const waiting = new Map();
    for (const link of this.#open) waiting.set(link, { attempts: 1, due: this.#now() + LIMITS.acknowledgementTimeout });
    this.#outbox.set(name, { soul, key, value, state, waiting, acknowledgedBy: new Set(), acknowledgedAt: null });
    if (this.#outbox.size > LIMITS.outbox) this.#outbox.delete(this.#outbox.keys().next().value);
  }

  #putMessage(entry, link, attempts) {
    const id = randomID();
    this.#remember(id, { kind: "put", addresses: [address(entry.soul, entry.key)], state: entry.state });
    entry.waiting.set(link, { attempts, due: this.#now() + LIMITS.acknowledgementTimeout * 2 ** (attempts - 1) });
    return { put: { [entry.soul]: nodeOf(entry.soul, [[entry.key, entry]]) }, "#": id };
  }

  #remember(id, what) {
    this.#sent.set(id, what);
    if (this.#sent.size > LIMITS.sent) this.#sent.delete(this.#sent.keys().next().value);
  }

  #acknowledge(name, state, link) {
    const entry = this.#outbox.get(name);
    if (!entry || entry.state !== state) return;
    entry.waiting.delete(link);
    entry.acknowledgedBy.add(link);
    entry.acknowledgedAt ??= this.#now();
  }

  // Time.

  /** When {@link handleTimeout} is due. */
  get nextTimeout() {
    let next = Infinity;
    for (const entry of this.#outbox.values()) {
      for (const { due } of entry.waiting.values()) next = Math.min(next, due);
      if (entry.acknowledgedAt !== null) next = Math.min(next, entry.acknowledgedAt + LIMITS.acknowledgedLifetime);
    }
    return next;
  }

  handleTimeout() {
    const now = this.#now();
    for (const [name, entry] of this.#outbox) {
      for (const [link, { attempts, due }] of entry.waiting) {
        if (now < due) continue;
        entry.waiting.delete(link);
        // If the relay has it, it will say nothing to the repetition: therefore the query.
        if (attempts < LIMITS.attempts) {
          this.#transmit(link, [this.#putMessage(entry, link, attempts + 1), this.#query(entry.soul, entry.key)]);
        }
      }
      const isOld = entry.acknowledgedAt !== null && now >= entry.acknowledgedAt + LIMITS.acknowledgedLifetime;
      if (isOld && entry.waiting.size === 0) this.#outbox.delete(name);
    }
  }

  // Listening.

  /** @param {string} soul @param {{isFleeting?: boolean}} [options] fleeting: values are passed on and not held */
  subscribe(soul, { isFleeting = false } = {}) {
    if (this.#subscriptions.has(soul)) return;
    this.#subscriptions.set(soul, { isFleeting });
    this.refresh(soul);
  }

  unsubscribe(soul) {
    if (this.#subscriptions.delete(soul)) this.#nodes.delete(soul);
  }

  /** Asks every relay again for a soul: some lose track of a subscription. @param {string} soul */
  refresh(soul) {
    for (const link of this.#open) this.#transmit(link, [this.#query(soul)]);
  }

  #query(soul, key) {
    return { get: key === undefined ? { "#": soul } : { "#": soul, ".": key }, "#": randomID() };
  }

  /** What is held of a node. @param {string} soul @returns {[string, import("./graph.js").GunValue][]} */
  node(soul) {
    return [...(this.#nodes.get(soul) ?? [])].map(([key, { value }]) => [key, value]);
  }

  // Receiving.

  /** @param {import("../base/link.js").Link} link @param {string} frame */
  receive(link, frame) {
    if (frame.length > LIMITS.frameCharacters || !/^\s*[{[]/.test(frame)) return;
    let parsed;
    try {
      parsed = JSON.parse(frame);
    } catch {
      return;
    }
    for (const message of Array.isArray(parsed) ? parsed : [parsed]) {
      if (message !== null && typeof message === "object") this.#handle(message, link);
    }
  }

  #handle(message, link) {
    if (message.dam !== undefined) {
      // The accepting side greets; we say who we are. No other control message of a stranger is obeyed.
      if (message.dam === "?" && message["@"] === undefined) {
        this.#transmit(link, [{ dam: "?", pid: this.#pid, "@": message["#"], "#": randomID() }]);
      }
      return;
    }
    if (message.put) {
      try {
        for (const record of recordsOf(message.put)) this.#take(record, link);
      } catch {
        return;
      }
    }
    if (message["@"] !== undefined) this.#answered(message, link);
    else if (message.get) this.#answer(message, link);
  }

  #answered(message, link) {
    const what = this.#sent.get(message["@"]);
    if (what?.kind === "put" && message.err === undefined && message.ok !== undefined) {
      for (const name of what.addresses) this.#acknowledge(name, what.state, link);
    }
  }

  #take({ soul, key, value, state }, link) {
    const kept = this.#outbox.get(address(soul, key));
    if (kept && kept.state === state) this.#acknowledge(address(soul, key), state, link);
    const isFollowed = this.#subscriptions.has(soul);
    if (!isFollowed && !this.#nodes.get(soul)?.has(key)) return;
    const ahead = state - this.#wall();
    if (ahead > 0) {
      this.#defer({ soul, key, value, state }, link, ahead);
    } else if (this.#merge(soul, key, { value, state })) {
      if (kept && kept.state < state) this.#outbox.delete(address(soul, key));
      if (isFollowed) this.#changed(soul, key, value);
    }
  }

  /** What is ahead of our clock waits until the clock has come there (HAM). */
  #defer(record, link, ahead) {
    const name = JSON.stringify(record);
    const held = this.#nodes.get(record.soul)?.get(record.key);
    if (ahead > LIMITS.futureTolerance || this.#deferred.size >= LIMITS.deferred || this.#deferred.has(name)) return;
    if (!supersedes(record, held)) return;
    this.#deferred.add(name);
    setTimeout(() => {
      this.#deferred.delete(name);
      this.#take(record, link);
    }, Math.ceil(ahead));
  }

  #merge(soul, key, entry) {
    let node = this.#nodes.get(soul);
    const held = node?.get(key);
    const isFleeting = this.#subscriptions.get(soul)?.isFleeting ?? false;
    // The value of a fleeting entry is not held: of two equal states the first counts.
    if (isFleeting ? held && entry.state <= held.state : !supersedes(entry, held)) return false;
    if (!node) this.#nodes.set(soul, (node = new Map()));
    node.delete(key);
    node.set(key, isFleeting ? { value: null, state: entry.state } : entry);
    if (node.size > LIMITS.keysOfSoul) node.delete(node.keys().next().value);
    return true;
  }

  /** Relays pass on queries for what they do not have. What we do not hold we leave to others. */
  #answer(message, link) {
    const { "#": soul, ".": key } = message.get;
    if (typeof soul !== "string" || this.#subscriptions.get(soul)?.isFleeting) return;
    const node = this.#nodes.get(soul);
    let entries = [];
    if (key === undefined || key === "") entries = [...(node ?? [])];
    else if (typeof key === "string" && node?.has(key)) entries = [[key, node.get(key)]];
    if (!entries.length || !this.#mayAnswer()) return;
    this.#transmit(link, [{ put: { [soul]: nodeOf(soul, entries) }, "@": message["#"], "#": randomID() }]);
  }

  #mayAnswer() {
    const now = this.#now();
    const earned = ((now - this.#answers.at) / 1_000) * LIMITS.answersPerSecond;
    this.#answers.tokens = Math.min(LIMITS.answersPerSecond, this.#answers.tokens + earned);
    this.#answers.at = now;
    if (this.#answers.tokens < 1) return false;
    this.#answers.tokens -= 1;
    return true;
  }
}
