// One run of a member of one swarm: discovers the others, signals, connects, relays, heals.

import { Refusal } from "../base/bytes.js";
import { Link } from "../base/link.js";
import { GunClient } from "../gun/client.js";
import { StateClock } from "../gun/graph.js";
import { mayBeWritten, ownerOf, signedText } from "../gun/user-space.js";
import { SessionKey } from "../sealing/keys.js";
import { cutName } from "../sealing/presence.js";
import { byePacket } from "../session/frame.js";
import { TrackerClient } from "../tracker/client.js";
import { Admission } from "./admission.js";
import { Conversations } from "./conversations.js";
import { Keeping, restore } from "./keeping.js";
import { Mail } from "./mail.js";
import { Member } from "./member.js";
import { Mesh } from "./mesh.js";
import { Presence } from "./presence.js";
import { envelopeDatagram, RelayPath } from "./relay-path.js";
import { Runs } from "./runs.js";
import { Signaling } from "./signaling.js";

const MOST_MEMBERS = 1_024;
/** Souls of the swarm itself; those of applications are named otherwise. */
const SWARM_SOULS = "swarm/";
/** What came through relays and trackers and waits to be opened: more than this is let go, as datagrams may be. */
const MOST_WAITING = 1_024;
/** A timer that late means that the page, or the machine, slept. */
const SLEPT = 3_000;
const LEAVING_PATIENCE = 500;

export class Engine {
  /** @type {Map<string, Member>} */
  members = new Map();
  /** Which member's envelopes bear a key id. @type {Map<bigint, Member>} */
  byKeyID = new Map();
  isLeaving = false;
  /** What was refused, by kind. @type {Record<string, number>} */
  refusals = {};
  /** @type {{link: Link, client: TrackerClient}[]} */
  trackers = [];
  /** @type {Link[]} */
  relays = [];
  #emit;
  #applicationStates = new StateClock();
  #incoming = Promise.resolve();
  #waiting = 0;
  #timer = 0;
  #timerAt = Infinity;
  #isPoked = false;
  #wallOffset = Date.now() - performance.now();

  /**
   * @param {object} parts
   * @param {import("../sealing/topic.js").Topic} parts.topic
   * @param {import("../sealing/keys.js").Identity} parts.identity
   * @param {import("../storage/store.js").MemoryStore} parts.store
   * @param {string} parts.name
   * @param {string[]} parts.trackers
   * @param {string[]} parts.relays
   * @param {RTCIceServer[]} parts.iceServers
   * @param {Set<string>} parts.paths
   * @param {boolean} parts.keepsState whether what is stored outlives this run
   * @param {boolean} parts.forwards whether it hands on what is for others
   * @param {Set<string>} parts.taken what the application has taken of what is kept, and may be forgotten
   * @param {Set<string>} parts.handedOn what it was handed already, and has yet to take
   * @param {import("./admission.js").Policy} [parts.policy] whom and what it takes
   * @param {(event: object) => void} parts.emit
   * @param {(peer: string, event: object) => void} parts.exchanged what happens to requests and byte streams
   */
  static async start(parts) {
    const engine = new Engine();
    Object.assign(engine, {
      topic: parts.topic, identity: parts.identity, peerID: parts.identity.peer, name: cutName(parts.name),
      iceServers: parts.iceServers, paths: parts.paths, keepsState: parts.keepsState, policy: parts.policy ?? {},
    });
    engine.#emit = parts.emit;
    engine.sessionKey = await SessionKey.generate();
    engine.keeping = new Keeping(parts.store, (error) => engine.warn(`nothing is kept: ${error.message}`));
    engine.presence = new Presence(engine);
    engine.relayPath = new RelayPath(engine);
    engine.signaling = new Signaling(engine);
    engine.mesh = new Mesh(engine, parts.forwards);
    engine.runs = new Runs(engine);
    engine.conversations = new Conversations(engine, parts.exchanged);
    engine.gun = new GunClient({
      changed: (soul, key, value) => engine.#changed(soul, key, value), wall: () => engine.wall(), now: () => engine.now(),
      rule: mayBeWritten, stored: (soul, key) => engine.mail.stored(soul, key),
    });
    const records = await parts.store.read();
    engine.admission = new Admission(engine, records);
    const moment = (wall) => engine.now() + Math.max(0, wall - engine.wall());
    const { sessions, got } = restore(records, moment, new Set([...parts.taken, ...parts.handedOn]));
    for (const [peer, kept] of sessions) {
      if (peer !== engine.peerID) engine.members.set(peer, engine.newMember(peer, kept));
    }
    engine.mail = new Mail(engine, records);
    for (const key of parts.taken) engine.conversations.forget(key);
    for (const message of got) engine.emit({ ...message, type: "message" });
    engine.#dial(parts.relays, parts.trackers);
    return engine;
  }

  #dial(relays, trackers) {
    for (const url of relays) {
      const link = new Link(url, "relay", {
        opened: () => this.#relayOpened(link),
        closed: () => this.#relayClosed(link),
        frame: (frame) => this.graphFrame(link, frame),
      });
      this.relays.push(link);
    }
    for (const url of trackers) {
      const link = new Link(url, "tracker", {
        opened: () => (client.opened(), this.emit({ type: "link", url, isOpen: true })),
        closed: () => (client.closed(), this.emit({ type: "link", url, isOpen: false })),
        frame: (frame) => client.receive(frame),
      });
      const client = new TrackerClient(link, this.topic.infoHash, {
        offers: (count) => this.signaling.openOffers(count),
        offered: (sdp, answer) => this.queue(async () => {
          // The answer is made beside the queue: other offers need not wait for it.
          this.signaling.takeOpenOffer(sdp).then((text) => text && answer(text), (error) => this.refuse(error));
        }),
        answered: (sdp) => this.queue(() => this.signaling.takeTrackerAnswer(sdp)),
        changed: () => this.poke(),
      }, () => this.now());
      this.trackers.push({ link, client });
    }
    for (const link of [...this.relays, ...this.trackers.map((tracker) => tracker.link)]) link.start();
    this.poke();
  }

  // Time.

  /** Milliseconds of a clock that never steps. */
  now() {
    return performance.now();
  }

  /** Milliseconds since 1970. */
  wall() {
    return performance.now() + this.#wallOffset;
  }

  /** The wall clock may be set, and stands apart from the other after a sleep. */
  #lookAtClock() {
    const step = Date.now() - this.wall();
    if (Math.abs(step) < 1_000) return;
    this.#wallOffset += step;
    if (step < -10_000) this.presence.clockSetBack();
    if (Math.abs(step) > 10_000) this.presence.announceAt = 0;
  }

  /** Something changed: what is due is looked up again, once for all that happens now. */
  poke() {
    if (this.#isPoked || this.isLeaving) return;
    this.#isPoked = true;
    queueMicrotask(() => {
      this.#isPoked = false;
      this.#schedule();
    });
  }

  #schedule() {
    if (this.isLeaving) return;
    let next = Math.min(this.presence.announceAt, this.gun.nextTimeout, this.signaling.nextSweep, this.mesh.tellAt);
    for (const { client } of this.trackers) next = Math.min(next, client.nextTimeout);
    for (const member of this.members.values()) {
      next = Math.min(next, this.mail.nextTimeout(member));
      if (member.session.isUp) next = Math.min(next, member.cipher?.nextTimeout ?? Infinity);
      next = Math.min(next, this.runs.farewellAt(member), this.admission.againAt(member));
      next = Math.min(next, member.session.nextTimeout(this.now()), this.signaling.nextTimeout(member), member.slots.clearAt);
    }
    clearTimeout(this.#timer);
    // What was due long ago is done now, and is no sign of sleep.
    this.#timerAt = Math.max(next, this.now());
    if (next < Infinity) this.#timer = setTimeout(() => this.#tick(), Math.max(0, Math.min(next - this.now(), 2 ** 31 - 1)));
  }

  #tick() {
    if (this.isLeaving) return;
    if (this.now() - this.#timerAt > SLEPT) this.awake();
    this.#lookAtClock();
    if (this.now() >= this.presence.announceAt) this.presence.announce().catch((error) => this.warn(error.message));
    if (this.now() >= this.gun.nextTimeout) this.gun.handleTimeout();
    for (const { client } of this.trackers) client.handleTimeout();
    this.signaling.handleTimeout();
    this.mesh.handleTimeout().catch((error) => this.warn(error.message));
    for (const member of this.members.values()) {
      member.session.handleTimeout(this.now());
      if (member.session.isUp && this.now() >= (member.cipher?.nextTimeout ?? Infinity)) {
        this.runs.rekey(member, () => member.cipher.handleTimeout(this.now()));
      }
      this.signaling.negotiate(member);
      if (this.now() >= member.slots.clearAt) {
        member.slots.clearAt = Infinity;
        this.inTurn(member, () => this.relayPath.clear(member));
      }
      this.runs.rest(member);
      this.runs.keepFarewell(member);
      this.admission.handleTimeout(member);
      this.mail.run(member);
      this.pump(member);
    }
    this.#schedule();
  }

  /** The page ran no timers for a while: silence meant nothing, and sockets may be dead without a word. */
  awake() {
    for (const member of this.members.values()) {
      member.session.slept(this.now());
      this.pump(member);
    }
    for (const link of this.relays) link.hurry();
    this.presence.announceAt = 0;
    this.poke();
  }

  /** The network is another, or is back. */
  networkChanged() {
    for (const link of this.relays) link.redial();
    for (const { link } of this.trackers) link.redial();
    this.signaling.networkChanged();
    for (const member of this.members.values()) {
      member.session.probe();
      this.pump(member);
    }
    this.poke();
  }

  // What the others hear of.

  emit(event) {
    this.#emit(event);
  }

  warn(message) {
    this.emit({ type: "warning", message });
  }

  /** What is malformed, forged, stale or not for us is counted, and never answered. @param {unknown} error */
  refuse(error) {
    if (!(error instanceof Refusal)) return this.warn(String(error?.message ?? error));
    this.count(error.kind);
  }

  /** @param {string} kind of what was refused */
  count(kind) {
    this.refusals[kind] = (this.refusals[kind] ?? 0) + 1;
  }

  /** Opening takes its time: one after the other, in the order of arrival. */
  queue(body) {
    if (this.#waiting >= MOST_WAITING) return;
    this.#waiting += 1;
    this.#incoming = this.#incoming.then(body).catch((error) => this.refuse(error)).finally(() => {
      this.#waiting -= 1;
      this.poke();
    });
  }

  #changed(soul, key, value) {
    if (this.presence.isInboxSoul(soul)) {
      if (typeof value === "string") this.queue(() => this.relayPath.take(value));
    } else if (this.presence.isPresenceSoul(soul)) {
      if (typeof value === "string") this.queue(() => this.presence.takeText(value));
    } else if (this.mail.isMail(soul)) {
      this.mail.note(soul, key, value);
    } else if (!soul.startsWith(SWARM_SOULS)) {
      this.emit({ type: "state", soul, key, value });
    }
  }

  // Members.

  /** The member with an id, made known if there is room. @param {string} peer @returns {Member | null} */
  member(peer) {
    const known = this.members.get(peer);
    if (known) return known;
    if (this.members.size >= MOST_MEMBERS && !this.#forgetSomebody()) return null;
    const member = this.newMember(peer);
    this.members.set(peer, member);
    return member;
  }

  /** @param {string} peer @param {import("../session/lanes.js").Kept} [kept] */
  newMember(peer, kept) {
    const member = new Member(peer, this.peerID, this.now(), kept, { rateLimit: this.policy.rateLimit ?? null });
    member.session.lanes.setPaused(this.conversations.isPaused);
    return member;
  }

  /** Makes room: a member who is away and to whom nothing is owed, first one who never said a word. */
  #forgetSomebody() {
    const idle = [...this.members.values()].filter(({ session }) => !session.isUp && !session.isOwed && session.exchanges.isIdle);
    idle.sort((a, b) => (a.session.lastHeard ?? -1) - (b.session.lastHeard ?? -1));
    if (!idle.length) return false;
    this.runs.end(idle[0]);
    return this.members.delete(idle[0].peer);
  }

  #relayOpened(link) {
    const isFirst = !this.gun.isConnected;
    this.gun.linkOpened(link);
    this.emit({ type: "link", url: link.url, isOpen: true });
    this.presence.announceAt = 0;
    if (isFirst) for (const member of this.members.values()) this.runs.openRelayPath(member);
    this.poke();
  }

  #relayClosed(link) {
    this.gun.linkClosed(link);
    this.emit({ type: "link", url: link.url, isOpen: false });
    if (this.gun.isConnected) return;
    for (const member of this.members.values()) {
      member.session.pathClosed("relay", this.now());
      this.pump(member);
    }
  }

  // Messages.

  /** Moves what a member's session has to say to the application, to storage and to its paths. @param {Member} member */
  pump(member) {
    this.conversations.pump(member);
  }

  /** What is sealed for a member leaves in the order in which it was said. @template T @param {Member} member @param {() => Promise<T>} body */
  inTurn(member, body) {
    const result = member.sealing.then(body);
    member.sealing = result.catch((error) => this.refuse(error));
    return result.catch(() => null);
  }

  /** Whether anything brings a signal to a member now. */
  carriesSignals(member) {
    return this.gun.isConnected || this.mesh.reaches(member);
  }

  /** Sends a signal, which is sealed: through a relay, or else through a third member. */
  async sendSignal(member, datagram) {
    await (this.gun.isConnected ? this.relayPath : this.mesh).send(member, datagram);
  }

  sendDatagram(member, datagram) {
    this.inTurn(member, () => this.sendSignal(member, datagram));
  }

  // Shared state.

  /** @param {import("../gun/client.js").GraphLink} link @param {string} text */
  graphFrame(link, text) {
    this.gun.receive(link, text);
    this.poke();
  }

  /**
   * Writes keys of a node; in a node of our own they are signed first, which takes a moment.
   * @param {string} soul @param {[string, import("../gun/graph.js").GunValue][]} values
   * @param {(written: [string, import("../gun/graph.js").GunValue][]) => void} done when they are in the graph
   */
  put(soul, values, done) {
    const owner = ownerOf(soul);
    if (owner !== null && owner !== this.peerID) throw new TypeError("this node is another's: only its owner writes there");
    let state = this.#applicationStates.next(this.wall());
    // A write wins over what its writer could see, whatever the clocks.
    for (const [key] of values) {
      const held = this.gun.entry(soul, key);
      if (held && held.state >= state) state = held.state + 0.001;
    }
    const write = (written) => {
      this.gun.put(soul, written, state, { isDurable: true, isShared: true });
      this.poke();
      done(written);
    };
    if (owner === null) return write(values);
    const sign = async ([key, value]) => [key, await signedText(value, { soul, key, state }, this.identity)];
    Promise.all(values.map(sign)).then(write).catch((error) => this.warn(error.message));
  }

  /** The writes of a former run of this page that no relay has. @param {Engine} former */
  takeWrites(former) {
    for (const { soul, key, value, state } of former.gun.unacknowledged) {
      if (!soul.startsWith(SWARM_SOULS)) this.gun.put(soul, [[key, value]], state, { isDurable: true, isShared: true });
    }
    this.poke();
  }

  // The end.

  /** What can be said at once, when the page goes away: relays and direct paths carry it, third members, and trackers. */
  sayBye() {
    this.presence.sayBye();
    for (const member of this.members.values()) {
      if (member.farewell) this.mesh.sendNow(member, member.farewell);
    }
    for (const member of this.members.values()) {
      const connection = this.signaling.openConnection(member);
      if (connection && !member.blocked.has("direct")) connection.send(byePacket());
    }
    for (const { client } of this.trackers) client.stop();
  }

  /** Says good-bye to everybody and closes everything. */
  async leave() {
    if (this.isLeaving) return;
    for (const member of this.members.values()) this.pump(member);
    this.sayBye();
    this.isLeaving = true;
    clearTimeout(this.#timer);
    const byes = [...this.members.values()].filter(({ cipher }) => cipher).map((member) =>
      this.inTurn(member, async () => {
        const way = member.session.path === "mesh" ? this.mesh : this.relayPath;
        await way.send(member, envelopeDatagram(await member.cipher.seal(byePacket())));
      }));
    const said = Promise.all([...byes, this.presence.publish().catch(() => {})]);
    await Promise.race([said, new Promise((done) => setTimeout(done, LEAVING_PATIENCE))]);
    await this.close();
  }

  /** Closes everything without a word. */
  async close() {
    this.isLeaving = true;
    clearTimeout(this.#timer);
    this.signaling.closeAll();
    this.conversations.close();
    for (const link of this.relays) link.stop();
    for (const { link } of this.trackers) link.stop();
    await this.keeping.finished();
  }
}
