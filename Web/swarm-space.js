// A member of a swarm in a browser.
//
//     const swarm = await join("magnet:?xt=urn:btih:…", { name: "alice" });
//     for await (const message of swarm.messages) console.log(message.from, message.path, message.text);
//
// A message that `send` took arrives once, in order, whatever happens to the paths; `delivered` says when. What is to be
// said survives a reload of the page, and so does what has come and was not taken yet.

import { hexadecimal, text, utf8 } from "./base/bytes.js";
import { Mailbox } from "./base/mailbox.js";
import { Graph } from "./graph.js";
import { Invite } from "./invite.js";
import { Engine, SendError } from "./member/engine.js";
import { gotKey } from "./member/keeping.js";
import { Identity } from "./sealing/keys.js";
import { Topic } from "./sealing/topic.js";
import { Remembered, takeSlot } from "./storage/slot.js";
import { BrowserStore, MemoryStore } from "./storage/store.js";

export { Invite, SendError };

/** More unread messages than this, and members are asked to send no more; at half of it they may again. */
const MOST_UNREAD = 1_000;

/** A message that has come. */
export class Message {
  /** @param {object} event */
  constructor({ from, stream, sequence, path, isText, content }) {
    /** The sender's PeerID. */
    this.from = from;
    /** Counts what the sender sent to us, from 1. */
    this.sequence = sequence;
    /** The way it came: "direct", "turn", "mesh" or "relay". */
    this.path = path;
    this.isText = isText;
    /** @type {Uint8Array} */
    this.bytes = content;
    /** The same if the message is handed on again, after a page died while it was being taken. */
    this.id = `${from}/${stream}/${sequence}`;
    this.stream = stream;
  }

  /** The message as text. */
  get text() {
    return text(this.bytes);
  }

  /** The value that the message holds as JSON; throws when it holds something else. */
  json() {
    return JSON.parse(this.text);
  }
}

/** A text stays one; bytes stay bytes; any other value is sent as JSON. */
function encoded(value) {
  if (typeof value === "string") return { content: utf8(value), isText: true };
  if (value instanceof ArrayBuffer) return { content: new Uint8Array(value.slice(0)), isText: false };
  if (ArrayBuffer.isView(value)) {
    return { content: new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice(), isText: false };
  }
  const json = JSON.stringify(value);
  if (json === undefined) throw new TypeError("this value is nothing that can be sent");
  return { content: utf8(json), isText: false };
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
      iceServers: options.iceServers ?? [], paths: new Set(options.paths ?? ["direct", "turn", "relay", "mesh"]),
      forwards: options.forwards ?? true, keepsState,
      taken: new Set(swarm.#taken.take()), handedOn: new Set(), emit: (event) => swarm.#emit(event),
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
          if (this.#handedOn) this.#engine?.taken(this.#handedOn);
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
   * @returns {Promise<number>} its number among those to this member, once it is kept; `delivered` repeats it
   */
  async send(peer, value) {
    const { content, isText } = encoded(value);
    if (this.#resuming) await this.#resuming;
    return this.#running().send(peer, content, isText);
  }

  /**
   * Sends a value to every member that is here.
   * @returns {Promise<Map<string, number>>} the message's number for each member
   */
  async broadcast(value) {
    const { content, isText } = encoded(value);
    if (this.#resuming) await this.#resuming;
    const engine = this.#running();
    const here = [...engine.members.values()].filter((member) => member.isAnnounced || member.planes.size > 0);
    const sent = here.map(async ({ peer }) => [peer, await engine.send(peer, content, isText)]);
    return new Map(await Promise.all(sent));
  }

  #keepsUp(unread) {
    if (unread > MOST_UNREAD) this.#engine?.setPaused(true);
    else if (unread <= MOST_UNREAD / 2) this.#engine?.setPaused(false);
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
    for (const { peer, name, session, mesh, isAnnounced } of this.#engine?.members.values() ?? []) {
      if (!isAnnounced || !session.path) continue;
      const rtt = session.paths[session.carrier].smoothedRTT;
      const through = session.path === "mesh" ? mesh.forwarder : null;
      peers.push({ id: peer, name, path: session.path, through, rtt, backlog: session.outbound.bytes });
    }
    return peers.sort((a, b) => (a.id < b.id ? -1 : 1));
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

  /** Fault injection for tests and demonstrations: what would take a path is dropped, both ways, until `unblock`. */
  block(path, peer) {
    this.#running().block(path, peer);
  }

  /** Ends what `block` began. */
  unblock(path, peer) {
    this.#running().unblock(path, peer);
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
    this.#taken.set([...(this.#engine?.takenLately ?? [])]);
    if (!isPersisted || !this.#engine || this.#isSuspended) return;
    this.#isSuspended = true;
    this.#engine.close();
    this.#slot?.release();
  }

  /** The page is back from the cache: as a new run, which takes up what the former kept. */
  async #resume() {
    const former = this.#engine;
    await former.keeping.finished();
    for (const { peer, isAnnounced } of former.members.values()) if (isAnnounced) this.#emit({ type: "left", peer });
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
