// A member of a swarm in a browser.
//
//     const swarm = await join("magnet:?xt=urn:btih:…", { name: "alice" });
//     for await (const message of swarm.messages) console.log(message.from, message.path, message.text);
//
// A message that `send` took arrives once, in order, whatever happens to the paths; `delivered` says when. What is to be
// said survives a reload of the page, and so does what has come and was not taken yet.

import { hexadecimal } from "./base/bytes.js";
import { Mailbox } from "./base/mailbox.js";
import { Graph } from "./graph.js";
import { Invite } from "./invite.js";
import { SendError } from "./member/conversations.js";
import { Engine } from "./member/engine.js";
import { gotKey } from "./member/keeping.js";
import { encoded, Payload } from "./payload.js";
import { Receipts } from "./receipts.js";
import { ActionRefusal, RequestError, Requests } from "./requests.js";
import { Identity } from "./sealing/keys.js";
import { Topic } from "./sealing/topic.js";
import { Remembered, takeSlot } from "./storage/slot.js";
import { BrowserStore, MemoryStore } from "./storage/store.js";
import { StreamReset, Streams } from "./streams.js";

export { ActionRefusal, Invite, RequestError, SendError, StreamReset };

/** More unread messages than this, and members are asked to send no more; at half of it they may again. */
const MOST_UNREAD = 1_000;
const PATHS = ["direct", "turn", "relay", "mesh"];
/** Moments before this were meant as a time to wait: it is in 2001. */
const EARLIEST_DEADLINE = 1e12;

/** A message that has come. */
export class Message extends Payload {
  /** @param {object} event */
  constructor({ from, stream, sequence, path, isText, content }) {
    super(content);
    /** The sender's PeerID. */
    this.from = from;
    /** Its number among all that the sender sent to us. */
    this.sequence = sequence;
    /** The way it came: "direct", "turn", "mesh" or "relay". */
    this.path = path;
    this.isText = isText;
    /** The same if the message is handed on again, after a page died while it was being taken. */
    this.id = `${from}/${stream}/${sequence}`;
    this.stream = stream;
  }
}

/** @param {number | Date | undefined} deadline @returns {number | undefined} milliseconds since 1970 */
function momentOf(deadline) {
  if (deadline === undefined || deadline === null) return undefined;
  const moment = Number(deadline);
  if (!(moment >= EARLIEST_DEADLINE)) throw new TypeError("a deadline is a Date, or milliseconds since 1970: Date.now() + 5_000");
  return moment;
}

/** One member of a swarm: finds the others, and talks with them by whatever path there is. */
export class Swarm {
  #engine;
  #parts;
  #slot;
  #messages;
  #watchers = new Set();
  /** Messages handed on and not taken yet. */
  #handedOn = null;
  #lifecycle = new AbortController();
  #isSuspended = false;
  /** Until the page that is back from the browser's cache is a member again. @type {Promise<void> | null} */
  #resuming = null;
  #receipts = new Receipts();
  #requests = new Requests(() => this.#running().conversations);
  #streams = new Streams(() => this.#running().conversations);
  /** What the last page of this tab took when it was too late to note it durably. */
  #taken;

  /** @internal use {@link join} */
  static async start(invite, options) {
    const swarm = new Swarm();
    const topic = await Topic.of(invite.infoHash, invite.secret);
    const { store, slot, keepsState } = await openStore(topic, options.storage ?? "browser");
    swarm.#slot = slot;
    swarm.#taken = new Remembered(`taken/${hexadecimal(topic.id)}/${slot?.name}`, slot !== null);
    let identity = options.identity ? await Identity.fromSEA(options.identity) : null;
    if (!identity) {
      const kept = await store.identity();
      identity = kept ? await Identity.of(kept) : await Identity.generate();
      if (!kept) await store.setIdentity(identity.pair);
    }
    /** The link by which others join. */
    swarm.magnet = invite.magnet;
    /** What the swarm is called, if that is known. */
    swarm.title = invite.name;
    /** This member: the public half of its identity. */
    swarm.peerID = identity.peer;
    /** The shared graph. */
    swarm.graph = new Graph(() => swarm.#running());
    swarm.#messages = new Mailbox({ changed: (count) => swarm.#keepsUp(count) });
    swarm.#parts = {
      topic, identity, store, name: options.name ?? "", trackers: invite.trackers, relays: invite.relays,
      iceServers: options.iceServers ?? [], paths: new Set(options.paths ?? PATHS),
      forwards: options.forwards ?? true, keepsState,
      taken: new Set(swarm.#taken.take()), handedOn: new Set(), policy: { admits: options.admits, accepts: options.accepts, rateLimit: options.rateLimit },
      emit: (event) => swarm.#emit(event), exchanged: (peer, event) => (swarm.#requests.take(peer, event), swarm.#streams.take(peer, event)),
    };
    swarm.#engine = await Engine.start(swarm.#parts);
    swarm.#watchLifecycle();
    return swarm;
  }

  #running() {
    if (!this.#engine) throw new Error("this member has left the swarm");
    return this.#engine;
  }

  // Messages.

  /**
   * What the others say, in order; to be read in one place. A message counts as taken when the next is asked for.
   * @type {AsyncIterable<Message>}
   */
  get messages() {
    return {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          if (this.#handedOn) this.#engine?.conversations.taken(this.#handedOn);
          this.#handedOn = null;
          const result = await this.#messages.next();
          this.#handedOn = result.value ?? null;
          return result;
        },
      }),
    };
  }

  /**
   * Sends a value to a member, which may be away: it goes out as soon as there is a path.
   * @param {string} peer its PeerID
   * @param {string | BufferSource | object} value a text, bytes, or a value that is sent as JSON
   * @param {object} [options]
   * @param {"low" | "normal" | "high" | "urgent"} [options.priority] what is more urgent overtakes what waits; messages of one
   *   priority stay in order
   * @param {boolean} [options.ordered] whether it is handed on after those sent before it with the same priority, or as soon as it
   *   is there
   * @param {number | Date} [options.deadline] when it is of no use any more (milliseconds since 1970): it is `expired` then, unless it
   *   was handed on
   * @returns {Promise<import("./receipts.js").Receipt>} once it is kept; names the message, and tells what becomes of it
   */
  async send(peer, value, { priority = "normal", ordered = true, deadline } = {}) {
    const { content, isText } = encoded(value);
    const options = { priority, isOrdered: ordered, deadline: momentOf(deadline) };
    if (this.#resuming) await this.#resuming;
    const { number, kept } = this.#running().conversations.send(peer, content, isText, options);
    const receipt = this.#receipts.add(peer, number);
    await kept;
    return receipt;
  }

  /**
   * Sends a value to every member that is here; members for whom too much waits already are left out.
   * @param {string | BufferSource | object} value
   * @param {{priority?: "low" | "normal" | "high" | "urgent"}} [options]
   * @returns {Promise<Map<string, number>>} the message's number for each member
   */
  async broadcast(value, { priority = "normal" } = {}) {
    const { content, isText } = encoded(value);
    if (this.#resuming) await this.#resuming;
    const engine = this.#running();
    const here = [...engine.members.values()].filter((member) => member.standing === "here" || member.planes.size > 0);
    const sent = here.map(async ({ peer }) => {
      const { number, kept } = engine.conversations.send(peer, content, isText, { priority, isOrdered: true });
      await kept;
      return [peer, number];
    });
    const settled = await Promise.allSettled(sent);
    const unexpected = settled.find(({ reason }) => reason && !(reason instanceof SendError));
    if (unexpected) throw unexpected.reason;
    return new Map(settled.filter(({ status }) => status === "fulfilled").map(({ value: pair }) => pair));
  }

  /** How much of a message the other has, in bytes; `null` when it does not wait any more. @param {{peer: string, number: number}} receipt */
  progress({ peer, number }) {
    return this.#running().members.get(peer)?.session.lanes.progress(number) ?? null;
  }

  // Requests and byte streams. They end with the run of either member.

  /**
   * Does what members ask for under a name from now on; a later handler replaces an earlier one. What it gives is answered, encoded
   * as `send` does; what it throws is told as failed, an `ActionRefusal` as refused.
   * @param {string} action
   * @param {import("./requests.js").Handler} handler
   */
  handle(action, handler) {
    this.#requests.handle(action, handler);
  }

  /**
   * Asks a member to do something.
   * @param {string} peer
   * @param {string} action
   * @param {unknown} [value] a text, bytes, or a value that is sent as JSON
   * @param {object} [options]
   * @param {number | null} [options.timeout] how long the answer is waited for, in milliseconds; `null` for as long as both run
   * @param {"low" | "normal" | "high" | "urgent"} [options.priority]
   * @param {AbortSignal} [options.signal] when it is aborted the other is told, and so is its handler
   * @returns {Promise<Payload>} the answer; rejects with a `RequestError` when there is none
   */
  async request(peer, action, value, options = {}) {
    if (this.#resuming) await this.#resuming;
    return this.#requests.request(peer, action, value, options);
  }

  /**
   * Opens a byte stream to a member.
   * @param {string} peer
   * @param {{name?: string, priority?: "low" | "normal" | "high" | "urgent"}} [options] `name`: what it is for; the other takes streams by
   *   their names
   * @returns {Promise<import("./streams.js").SwarmStream>}
   */
  async openStream(peer, options = {}) {
    if (this.#resuming) await this.#resuming;
    return this.#streams.open(peer, options);
  }

  /**
   * Takes byte streams of a name from now on; a later handler replaces an earlier one. Others are reset as refused. When a handler
   * is through, its stream is closed; what it did not read is not wanted.
   * @param {string} name
   * @param {import("./streams.js").Acceptor} handler
   */
  acceptStreams(name, handler) {
    this.#streams.accept(name, handler);
  }

  #keepsUp(unread) {
    if (unread > MOST_UNREAD) this.#engine?.conversations.setPaused(true);
    else if (unread <= MOST_UNREAD / 2) this.#engine?.conversations.setPaused(false);
  }

  // What happens.

  /** Everything that happens, for one reader each; of those who do not keep up the oldest events are let go. */
  get events() {
    return {
      [Symbol.asyncIterator]: () => {
        const mailbox = new Mailbox({ limit: MOST_UNREAD });
        const stop = this.on((event) => mailbox.push(event));
        this.#lifecycle.signal.addEventListener("abort", () => mailbox.finish());
        return { next: () => mailbox.next(), return: async () => (stop(), mailbox.finish(), { value: undefined, done: true }) };
      },
    };
  }

  /** @param {(event: object) => void} listener is told of each event at once @returns {() => void} ends it */
  on(listener) {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  #emit(event) {
    let told = event;
    this.#receipts.take(event);
    if (event.type === "message") {
      const message = new Message(event);
      this.#messages.push(message);
      told = { type: "message", message };
    }
    if (event.type === "state") this.graph.changed(event.soul, event.key, event.value);
    for (const watcher of this.#watchers) {
      try {
        watcher(told);
      } catch (error) {
        // It is the application's fault, and told as such; what happens here goes on.
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }

  // Members and paths.

  /** The members a session is up with. */
  get peers() {
    const peers = [];
    for (const { peer, name, session, mesh, standing } of this.#engine?.members.values() ?? []) {
      if (standing !== "here" || !session.path) continue;
      const rtt = session.paths[session.carrier].smoothedRTT;
      const through = session.path === "mesh" ? mesh.forwarder : null;
      peers.push({ id: peer, name, path: session.path, through, rtt, backlog: session.lanes.backlog });
    }
    return peers.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Who is here or away, in the order of their ids, and by which paths, the one in use first. */
  get roster() {
    const present = [...(this.#engine?.members.values() ?? [])].filter(({ standing }) => standing !== "absent");
    return present.sort((a, b) => (a.peer < b.peer ? -1 : 1)).map(({ peer, name, session, standing }) => ({
      id: peer, name, isAway: standing === "away", paths: session.ways,
    }));
  }

  /** How it stands: relays and trackers, what was refused, writes of the graph that no relay has yet. */
  get status() {
    const engine = this.#engine;
    if (!engine) return null;
    const site = ({ url, kind, state, framesSent, framesReceived }) => ({ url, kind, state, framesSent, framesReceived });
    return {
      links: [...engine.relays, ...engine.trackers.map(({ link }) => link)].map(site), refusals: { ...engine.refusals },
      unacknowledgedWrites: engine.gun.unacknowledgedCount,
    };
  }

  /**
   * Refuses a member: it gets nothing of us and we nothing of it, and what waits for it is rejected. With a path in front: fault
   * injection for tests and demonstrations; what would take that path is dropped, both ways.
   * @param {string} which a PeerID, or "direct", "relay" or "mesh"
   * @param {string} [peer] whose path; all members' without
   */
  block(which, peer) {
    const { admission, conversations } = this.#running();
    if (PATHS.includes(which)) conversations.block(which, peer);
    else admission.block(which);
  }

  /** Ends what `block` or `kick` began. @param {string} which @param {string} [peer] */
  unblock(which, peer) {
    const { admission, conversations } = this.#running();
    if (PATHS.includes(which)) conversations.unblock(which, peer);
    else admission.unblock(which);
  }

  /** Ends the conversation with a member: what waits for it is rejected. It may come again after a minute, or when it runs anew. @param {string} peer */
  kick(peer) {
    this.#running().admission.kick(peer);
  }

  /** The members that are blocked. @returns {string[]} */
  get blocked() {
    return [...(this.#engine?.admission.blocked ?? [])].sort();
  }

  // The life of a page.

  #watchLifecycle() {
    if (typeof window === "undefined") return;
    const { signal } = this.#lifecycle;
    window.addEventListener("online", () => this.#engine?.networkChanged(), { signal });
    window.addEventListener("pagehide", ({ persisted }) => this.#hidden(persisted), { signal });
    window.addEventListener("pageshow", ({ persisted }) => {
      if (persisted && this.#isSuspended) this.#resuming = this.#resume().finally(() => (this.#resuming = null));
    }, { signal });
    document.addEventListener("resume", () => this.#engine?.awake(), { signal });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#engine?.poke();
    }, { signal });
  }

  /** The page goes away, for good or into the browser's cache, where it may hold no connection. */
  #hidden(isPersisted) {
    this.#engine?.sayBye();
    this.#taken.set([...(this.#engine?.conversations.takenLately ?? [])]);
    if (!isPersisted || !this.#engine || this.#isSuspended) return;
    this.#isSuspended = true;
    this.#engine.close();
    this.#slot?.release();
  }

  /** The page is back from the cache: as a new run, which takes up what the former kept. */
  async #resume() {
    const former = this.#engine;
    await former.keeping.finished();
    for (const { peer, standing } of former.members.values()) if (standing !== "absent") this.#emit({ type: "left", peer });
    const isSame = await this.#retakeSlot();
    if (!isSame) return location.reload();
    this.#parts.taken = new Set(this.#taken.take());
    // Unread messages are still here.
    const unread = [...this.#messages.items, ...(this.#handedOn ? [this.#handedOn] : [])];
    this.#parts.handedOn = new Set(unread.map(({ from, stream, sequence }) => gotKey(from, stream, sequence)));
    this.#engine = await Engine.start(this.#parts);
    this.#isSuspended = false;
    this.#engine.takeWrites(former);
    this.graph.resubscribe();
  }

  /** Another tab may have become this member meanwhile. */
  async #retakeSlot() {
    if (!this.#slot) return true;
    const former = this.#slot.name;
    this.#slot = await takeSlot(hexadecimal(this.#parts.topic.id));
    return this.#slot.name === former;
  }

  /** Says good-bye to the others and closes everything. May be called twice. */
  async leave() {
    if (this.#resuming) await this.#resuming;
    const engine = this.#engine;
    if (!engine) return;
    await engine.leave();
    this.#engine = null;
    this.#lifecycle.abort();
    this.#messages.finish();
    this.#receipts.close();
    this.#parts.store.close();
    this.#slot?.release();
  }
}

/** In the browser's storage; in memory where there is none, or none is wanted. */
async function openStore(topic, storage) {
  if (typeof storage === "object") return { store: storage, slot: null, keepsState: true };
  if (storage !== "browser" || typeof indexedDB === "undefined" || !globalThis.navigator?.locks) {
    return { store: new MemoryStore(), slot: null, keepsState: false };
  }
  const swarm = hexadecimal(topic.id);
  const slot = await takeSlot(swarm);
  try {
    return { store: await BrowserStore.open(swarm, slot.name), slot, keepsState: true };
  } catch {
    // Private windows of some browsers keep nothing.
    slot.release();
    return { store: new MemoryStore(), slot: null, keepsState: false };
  }
}

/**
 * Joins a swarm. It does not wait until somebody is found: that is told by `events`.
 * @param {string | Invite} invite a magnet link, or the name of a swarm
 * @param {object} [options]
 * @param {string} [options.name] what others see, at most 64 bytes of UTF-8
 * @param {string} [options.secret] the passphrase of a private swarm
 * @param {string[]} [options.trackers] WebTorrent trackers beside those of the link
 * @param {string[]} [options.relays] GUN relays beside those of the link
 * @param {RTCIceServer[]} [options.iceServers] STUN and TURN servers
 * @param {("direct" | "turn" | "relay" | "mesh")[]} [options.paths] the paths that may carry messages
 * @param {boolean} [options.forwards] whether it hands on, within limits, what two others say who do not reach each other
 * @param {(applicant: {peer: string, name: string}) => boolean} [options.admits] whether a member takes part in conversations with this
 *   one; asked at each of its runs
 * @param {(sender: string, message: {isText: boolean, bytes: Uint8Array}) => boolean} [options.accepts] whether a message is taken; its sender
 *   learns that it was rejected
 * @param {import("./session/rate.js").RateLimit} [options.rateLimit] what each member may send; what is more waits there
 * @param {"browser" | "memory" | MemoryStore} [options.storage] where identity and conversations are kept
 * @param {{pub: string, priv: string}} [options.identity] an identity of SEA's in place of the browser's own
 * @returns {Promise<Swarm>}
 */
export async function join(invite, options = {}) {
  if (!globalThis.crypto?.subtle) {
    throw new Error("browsers have cryptography only on pages that came by https: or from localhost: open this page so");
  }
  return Swarm.start(invite instanceof Invite ? invite : await Invite.parse(invite, options), options);
}
