// A GUN peer that writes and listens through any number of relays and members at once (docs/protocol.md, "Graph").
//
// Puts go out on every relay; a durable one is kept until a relay has it. A record goes to members who follow it and to nobody
// else, is passed on only when it won over what was held, never back, and never between two who both say that they are
// connected to each other. What a relay lacks of the souls that we share and follow it is given.

import { randomBytes } from "../base/bytes.js";
import { nodeOf, recordsOf, supersedes } from "./graph.js";
import { contentHash } from "./hash.js";
import { HeldGraph } from "./held-graph.js";
import { LinkState } from "./link-state.js";
import { Outbox } from "./outbox.js";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXZabcdefghijklmnopqrstuvwxyz";
const randomID = () => Array.from(randomBytes(12), (byte) => ALPHABET[byte % ALPHABET.length]).join("");

/** Bounds; times in milliseconds. */
const LIMITS = Object.freeze({
  frameCharacters: 4 << 20,
  batchCharacters: 64 << 10,
  memberBatchCharacters: 16 << 10,
  answerTimeout: 4_000,
  sent: 4_096,
  keysOfSoul: 10_000,
  graphCharacters: 32 << 20,
  deferred: 512,
  judged: 1_024,
  futureTolerance: 24 * 3_600_000,
  answersPerSecond: 50,
  queriesPerSecond: 100,
  followedByMember: 4_096,
  neighbours: 256,
  tellingDelay: 200,
});

/**
 * A link is whatever takes text frames: `send(text)`; of a member also `hasRoom`.
 * @typedef {{send: (text: string) => void, hasRoom?: boolean}} GraphLink
 */

export class GunClient {
  /** @type {Map<GraphLink, LinkState>} */
  #links = new Map();
  /** Nodes that are followed, or that no relay has yet, stay. */
  #held = new HeldGraph(LIMITS, (soul) => this.#subscriptions.has(soul) || this.#outbox.holdsSoul(soul));
  /** Souls that are followed; of a fleeting one only the states are held. @type {Map<string, {isFleeting: boolean}>} */
  #subscriptions = new Map();
  /** The souls that members may have too. */
  #shared = new Set();
  /** Which members follow what. @type {Map<string, Map<GraphLink, {isNode: boolean, keys: Set<string>}>>} */
  #followers = new Map();
  #outbox = new Outbox();
  /** What our messages were for, by their id. */
  #sent = new Map();
  #pid = randomID();
  #deferred = new Set();
  #judged = 0;
  #tellAt = Infinity;
  /** A link has closed since the neighbours were told. */
  #hasLostLink = false;
  #changed;
  #stored;
  #wall;
  #now;
  #rule;

  /**
   * @param {object} owner
   * @param {(soul: string, key: string, value: import("./graph.js").GunValue) => void} owner.changed someone else's write won
   * @param {() => number} owner.wall milliseconds since 1970
   * @param {() => number} owner.now milliseconds of a clock that never steps
   * @param {(record: object, wall: number, lookup: (soul: string, key: string) => unknown) => boolean | Promise<boolean>} [owner.rule]
   *   who may write what
   * @param {(soul: string, key: string) => void} [owner.stored] a first relay has a durable put
   */
  constructor({ changed, wall, now, rule = () => true, stored = () => {} }) {
    this.#changed = changed;
    this.#stored = stored;
    this.#wall = wall;
    this.#now = now;
    this.#rule = rule;
  }

  /** Whether a relay is. */
  get isConnected() {
    return this.#of("relay").length > 0;
  }

  /** How many durable puts no relay has acknowledged yet. */
  get unacknowledgedCount() {
    return this.#outbox.unacknowledgedCount;
  }

  /** Those. @returns {{soul: string, key: string, value: import("./graph.js").GunValue, state: number}[]} */
  get unacknowledged() {
    return this.#outbox.unacknowledged;
  }

  #of(kind) {
    return [...this.#links.keys()].filter((link) => this.#links.get(link).kind === kind);
  }

  // Links.

  /** A link is there: it is asked for all we follow; a relay is given what it may lack. @param {GraphLink} link */
  linkOpened(link, kind = "relay") {
    this.#links.set(link, new LinkState(kind, LIMITS));
    this.#neighboursChanged();
    const messages = kind === "member" ? [this.#greeting(link)] : [];
    messages.push(...this.#allQueries(link));
    if (kind === "relay") for (const entry of this.#outbox.lackedBy(link)) messages.push(this.#putMessage(entry, link, 1));
    this.#transmit(link, messages);
  }

  linkClosed(link) {
    if (!this.#links.delete(link)) return;
    this.#outbox.linkClosed(link);
    for (const [soul, followers] of this.#followers) if (followers.delete(link) && !followers.size) this.#followers.delete(soul);
    this.#hasLostLink = true;
    this.#neighboursChanged();
  }

  #transmit(link, messages) {
    const limit = this.#links.get(link)?.isMember ? LIMITS.memberBatchCharacters : LIMITS.batchCharacters;
    let batch = [];
    let size = 0;
    const flush = () => {
      if (batch.length) link.send(batch.length === 1 ? batch[0] : `[${batch.join(",")}]`);
      batch = [];
      size = 0;
    };
    for (const message of messages) {
      const text = JSON.stringify(message);
      if (size + text.length > limit) flush();
      batch.push(text);
      size += text.length;
    }
    flush();
  }

  // Who is connected to whom.

  #neighboursChanged() {
    this.#tellAt = Math.min(this.#tellAt, this.#now() + LIMITS.tellingDelay);
  }

  /** The handshake, with the names of those we are connected to. */
  #greeting(link) {
    const others = [...this.#links].filter(([other, { pid }]) => other !== link && pid !== null);
    const names = others.map(([, { pid }]) => pid).sort().slice(0, LIMITS.neighbours);
    return { dam: "?", pid: this.#pid, ok: { "><": names }, "@": randomID(), "#": randomID() };
  }

  #tellNeighbours() {
    this.#tellAt = Infinity;
    for (const link of this.#of("member")) {
      // Others took it that we had from the lost link what it gave them. They know better now, and what they did not pass
      // on before is in their answers.
      this.#transmit(link, [this.#greeting(link), ...(this.#hasLostLink ? this.#allQueries(link) : [])]);
    }
    this.#hasLostLink = false;
  }

  #areNeighbours(a, b) {
    const [first, second] = [this.#links.get(a), this.#links.get(b)];
    if (!first?.pid || !second?.pid || (!first.isMember && !second.isMember)) return false;
    // Relays say nothing of members.
    return (!first.isMember || first.neighbours.has(second.pid)) && (!second.isMember || second.neighbours.has(first.pid));
  }

  // Writing.

  /**
   * Writes keys of one node.
   * @param {string} soul
   * @param {Iterable<[string, import("./graph.js").GunValue]>} values
   * @param {number} state
   * @param {object} options
   * @param {boolean} [options.isDurable] whether to keep and repeat it until a relay has it
   * @param {boolean} [options.isShared] whether members may have the soul from now on
   */
  put(soul, values, state, { isDurable = false, isShared = false } = {}) {
    if (isShared) this.#shared.add(soul);
    const entries = [];
    for (const [key, value] of values) {
      const entry = { value, state };
      if (isDurable && !this.#merge(soul, key, entry)) continue;
      entries.push([key, entry]);
      if (isDurable) this.#outbox.add(soul, key, entry);
      this.#forward(soul, key, null);
    }
    if (!entries.length) return;
    const id = randomID();
    if (isDurable) this.#remember(id, { kind: "put", soul, keys: entries.map(([key]) => key), state });
    const text = JSON.stringify({ put: { [soul]: nodeOf(soul, entries) }, "#": id });
    for (const link of this.#of("relay")) {
      link.send(text);
      if (isDurable) for (const [key] of entries) this.#outbox.sent(soul, key, link, this.#now());
    }
  }

  #putMessage({ soul, key, value, state }, link, attempts) {
    const id = randomID();
    this.#remember(id, { kind: "put", soul, keys: [key], state });
    this.#outbox.sent(soul, key, link, this.#now(), attempts);
    return { put: { [soul]: nodeOf(soul, [[key, { value, state }]]) }, "#": id };
  }

  #remember(id, what) {
    this.#sent.set(id, what);
    if (this.#sent.size > LIMITS.sent) this.#sent.delete(this.#sent.keys().next().value);
  }

  // Time.

  /** When {@link handleTimeout} is due. */
  get nextTimeout() {
    let next = Math.min(this.#tellAt, this.#outbox.nextTimeout);
    for (const { repairs } of this.#links.values()) next = Math.min(next, repairs.nextTimeout);
    return next;
  }

  handleTimeout() {
    const now = this.#now();
    for (const { entry, link, attempts } of this.#outbox.takeDue(now)) {
      // If the relay has it, it will say nothing to the repetition: therefore the query.
      this.#transmit(link, [this.#putMessage(entry, link, attempts), this.#query(entry.soul, entry.key)]);
    }
    for (const [link, { repairs }] of this.#links) for (const [soul, keys] of repairs.takeDue(now)) this.#repair(link, soul, keys);
    if (now >= this.#tellAt) this.#tellNeighbours();
  }

  #repair(link, soul, keys) {
    const node = this.#held.node(soul);
    const entries = keys.filter((key) => node?.has(key)).map((key) => [key, node.get(key)]);
    this.#transmit(link, entries.map((entry) => ({ put: { [soul]: nodeOf(soul, [entry]) }, "#": randomID() })));
  }

  // Listening.

  /**
   * @param {string} soul
   * @param {{isFleeting?: boolean, isShared?: boolean}} [options] fleeting: values are passed on and not held; shared: members
   *   are asked, and may have it
   */
  subscribe(soul, { isFleeting = false, isShared = false } = {}) {
    if (this.#subscriptions.has(soul)) return;
    this.#subscriptions.set(soul, { isFleeting });
    if (isShared) this.#shared.add(soul);
    for (const link of this.#links.keys()) this.#transmit(link, this.#queriesFor(soul, link));
  }

  unsubscribe(soul) {
    // What members may have is held until there is no room for it.
    if (this.#subscriptions.delete(soul) && !this.#shared.has(soul)) this.#held.forget(soul);
  }

  /** Asks every relay again for a soul: some lose track of a subscription. @param {string} soul */
  refresh(soul) {
    for (const link of this.#of("relay")) this.#transmit(link, this.#queriesFor(soul, link));
  }

  #allQueries(link) {
    return [...this.#subscriptions.keys()].flatMap((soul) => this.#queriesFor(soul, link));
  }

  #queriesFor(soul, link) {
    const state = this.#links.get(link);
    const isShared = this.#shared.has(soul);
    if (state.isMember && !isShared) return [];
    const query = this.#query(soul);
    const node = this.#held.node(soul);
    if (state.isMember) {
      // A member that has the same need not send it. A relay that has the same would not answer at all.
      if (node?.size) query["##"] = contentHash(soul, node);
    } else if (isShared) {
      const keys = [...(node?.keys() ?? [])].filter((key) => !this.#outbox.has(soul, key));
      state.repairs.asked(soul, keys, this.#now() + LIMITS.answerTimeout);
      this.#remember(query["#"], { kind: "query", soul });
    }
    return [query];
  }

  #query(soul, key) {
    return { get: key === undefined ? { "#": soul } : { "#": soul, ".": key }, "#": randomID() };
  }

  /** What is held of a node. @param {string} soul @returns {[string, import("./graph.js").GunValue][]} */
  node(soul) {
    return [...(this.#held.node(soul) ?? [])].map(([key, { value }]) => [key, value]);
  }

  /** What is held of a key. @returns {import("./graph.js").Entry | undefined} */
  entry(soul, key) {
    return this.#held.entry(soul, key);
  }

  // Receiving.

  /** @param {GraphLink} link @param {string} frame */
  receive(link, frame) {
    if (!this.#links.has(link) || frame.length > LIMITS.frameCharacters || !/^\s*[{[]/.test(frame)) return;
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
    // Sending closes a link that is dead.
    const state = this.#links.get(link);
    if (!state) return;
    if (message.dam !== undefined) return this.#greeted(message, link, state);
    if (message.put) {
      try {
        for (const record of recordsOf(message.put)) this.#take(record, link);
      } catch {
        return;
      }
    }
    if (message["@"] !== undefined) this.#answered(message, link, state);
    else if (message.get && state.isMember) this.#follow(message, link, state);
    else if (message.get) this.#answer(message, link, state);
  }

  /** No other control message of a stranger is obeyed. */
  #greeted({ dam, pid, ok, "@": answered, "#": id }, link, state) {
    if (dam !== "?") return;
    if (typeof pid === "string" && pid !== state.pid) {
      state.pid = pid;
      this.#neighboursChanged();
    }
    const names = ok?.["><"];
    if (state.isMember && Array.isArray(names)) {
      state.neighbours = new Set(names.slice(0, LIMITS.neighbours).filter((name) => typeof name === "string"));
    }
    // Who was called greets; we say who we are.
    if (answered === undefined) this.#transmit(link, [{ dam: "?", pid: this.#pid, "@": id, "#": randomID() }]);
  }

  #answered(message, link, state) {
    const what = this.#sent.get(message["@"]);
    if (what?.kind === "put" && message.err === undefined && message.ok !== undefined) {
      for (const key of what.keys) this.#acknowledge(what.soul, key, what.state, link);
    }
    // The parts of an answer come one after another.
    if (what?.kind === "query" && !message["%"]) state.repairs.answered(what.soul, this.#now());
  }

  #acknowledge(soul, key, state, link) {
    if (this.#outbox.acknowledge(soul, key, state, link, this.#now())) this.#stored(soul, key);
  }

  #take(record, link) {
    const { soul, key, value, state } = record;
    if (this.#links.get(link)?.kind === "relay") this.#acknowledge(soul, key, state, link);
    const held = this.entry(soul, key);
    if (!held || !supersedes(held, record)) this.#links.get(link)?.repairs.has(soul, key);
    if (!this.#subscriptions.has(soul) && !held) return;
    const ahead = state - this.#wall();
    if (ahead > 0) return this.#defer(record, link, ahead);
    if (!supersedes(record, held)) return;
    const verdict = this.#rule(record, this.#wall(), (of, name) => this.entry(of, name)?.value);
    if (typeof verdict === "boolean") return verdict && this.#accept(record, link);
    // Signatures take their time; other records are taken meanwhile.
    if (this.#judged >= LIMITS.judged) return;
    this.#judged += 1;
    verdict.then((isAllowed) => isAllowed && this.#accept(record, link)).finally(() => (this.#judged -= 1));
  }

  #accept({ soul, key, value, state }, link) {
    if (!this.#merge(soul, key, { value, state })) return;
    this.#outbox.supersede(soul, key, state);
    this.#forward(soul, key, link);
    if (this.#subscriptions.has(soul)) this.#changed(soul, key, value);
  }

  /** What is ahead of our clock waits until the clock has come there (HAM). */
  #defer(record, link, ahead) {
    const name = JSON.stringify(record);
    if (ahead > LIMITS.futureTolerance || this.#deferred.size >= LIMITS.deferred || this.#deferred.has(name)) return;
    if (!supersedes(record, this.entry(record.soul, record.key))) return;
    this.#deferred.add(name);
    setTimeout(() => {
      this.#deferred.delete(name);
      this.#take(record, link);
    }, Math.ceil(ahead));
  }

  #merge(soul, key, entry) {
    const isFleeting = this.#subscriptions.get(soul)?.isFleeting ?? false;
    return this.#held.merge(soul, key, entry, isFleeting);
  }

  // Members.

  /** Gives what has won to all who should have it and may not. @param {GraphLink | null} source where it came from */
  #forward(soul, key, source) {
    if (!this.#shared.has(soul)) return;
    for (const [link, { isNode, keys }] of this.#followers.get(soul) ?? []) {
      if ((!isNode && !keys.has(key)) || link === source || this.#areNeighbours(source, link)) continue;
      this.#links.get(link).queue.addRecord(soul, key);
      queueMicrotask(() => this.memberHasRoom(link));
    }
    if (!source || !this.#subscriptions.has(soul)) return;
    for (const link of this.#of("relay")) {
      if (link !== source && !this.#areNeighbours(source, link)) this.#links.get(link).repairs.owe(soul, key, this.#now());
    }
  }

  /** Whether a member follows a soul. @param {string} soul */
  isFollowed(soul) {
    return this.#followers.has(soul);
  }

  /** A member's query: it follows that from now on, and is answered. */
  #follow(message, link, state) {
    const { "#": soul, ".": key } = message.get;
    const id = message["#"];
    if (typeof id !== "string" || !state.queries.take(this.#now())) return;
    const isName = typeof soul === "string" && (key === undefined || key === "" || typeof key === "string");
    const query = { id, hash: typeof message["##"] === "number" ? message["##"] : undefined };
    if (isName) {
      Object.assign(query, { soul, key: key || undefined });
      this.#addFollower(soul, key || undefined, link, state);
    }
    state.queue.addAnswer(query, LIMITS.followedByMember);
    this.memberHasRoom(link);
  }

  #addFollower(soul, key, link, state) {
    if (state.followed >= LIMITS.followedByMember) return;
    if (!this.#followers.has(soul)) this.#followers.set(soul, new Map());
    const followers = this.#followers.get(soul);
    if (!followers.has(link)) followers.set(link, { isNode: false, keys: new Set() });
    const followed = followers.get(link);
    if (key === undefined ? followed.isNode : followed.keys.has(key)) return;
    if (key === undefined) followed.isNode = true;
    else followed.keys.add(key);
    state.followed += 1;
  }

  /** Sends a member what there is for it, as far as its channel has room. @param {GraphLink} link */
  memberHasRoom(link) {
    const state = this.#links.get(link);
    if (!state?.isMember) return;
    const held = (soul) => (this.#shared.has(soul) ? this.#held.node(soul) : undefined);
    while (!state.queue.isEmpty && link.hasRoom) {
      const message = state.queue.next(held);
      if (message) this.#transmit(link, [{ ...message, "#": randomID() }]);
    }
  }

  /** Relays pass on queries for what they do not have. What we do not hold we leave to others. */
  #answer(message, link, state) {
    const { "#": soul, ".": key } = message.get;
    if (typeof soul !== "string" || this.#subscriptions.get(soul)?.isFleeting) return;
    const node = this.#held.node(soul);
    let entries = [];
    if (key === undefined || key === "") entries = [...(node ?? [])];
    else if (typeof key === "string" && node?.has(key)) entries = [[key, node.get(key)]];
    if (!entries.length || !state.answers.take(this.#now())) return;
    this.#transmit(link, [{ put: { [soul]: nodeOf(soul, entries) }, "@": message["#"], "#": randomID() }]);
  }
}
