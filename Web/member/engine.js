// One run of a member of one swarm: discovers the others, signals, connects, relays, heals.

import { Refusal } from "../base/bytes.js";
import { Link } from "../base/link.js";
import { GunClient } from "../gun/client.js";
import { StateClock } from "../gun/graph.js";
import { mayBeWritten, ownerOf, signedText } from "../gun/user-space.js";
import { SessionKey } from "../sealing/keys.js";
import { cutName } from "../sealing/presence.js";
import { byePacket } from "../session/frame.js";
import { SESSION } from "../session/session.js";
import { TrackerClient } from "../tracker/client.js";
import { gotKey, Keeping, messageKey, restore } from "./keeping.js";
import { Mail } from "./mail.js";
import { Member } from "./member.js";
import { Mesh } from "./mesh.js";
import { FRESHNESS, Presence } from "./presence.js";
import { envelopeDatagram, RelayPath } from "./relay-path.js";
import { Signaling } from "./signaling.js";

const MOST_MEMBERS = 1_024;
/** Souls of the swarm itself; those of applications are named otherwise. */
const SWARM_SOULS = "swarm/";
/** What came through relays and trackers and waits to be opened: more than this is let go, as datagrams may be. */
const MOST_WAITING = 1_024;
/** How old a good-bye that is kept ready may be: after 1,024 packets it would not be taken any more. */
const FAREWELL_AGE = 2_000;
/** A timer that late means that the page, or the machine, slept. */
const SLEPT = 5_000;
const LEAVING_PATIENCE = 500;

/** Why a message was not taken. */
export class SendError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "SendError";
  }
}

export class Engine {
  /** @type {Map<string, Member>} */
  members = new Map();
  /** Which member's envelopes bear a key id. @type {Map<bigint, Member>} */
  byKeyID = new Map();
  isLeaving = false;
  /** Messages that the application has taken while storage has them still. @type {Set<string>} */
  takenLately = new Set();
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
  #isPaused = false;

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
   * @param {(event: object) => void} parts.emit
   */
  static async start(parts) {
    const engine = new Engine();
    Object.assign(engine, {
      topic: parts.topic, identity: parts.identity, peerID: parts.identity.peer, name: cutName(parts.name),
      iceServers: parts.iceServers, paths: parts.paths, keepsState: parts.keepsState,
    });
    engine.#emit = parts.emit;
    engine.sessionKey = await SessionKey.generate();
    engine.keeping = new Keeping(parts.store, (error) => engine.warn(`nothing is kept: ${error.message}`));
    engine.presence = new Presence(engine);
    engine.relayPath = new RelayPath(engine);
    engine.signaling = new Signaling(engine);
    engine.mesh = new Mesh(engine, parts.forwards);
    engine.gun = new GunClient({
      changed: (soul, key, value) => engine.#changed(soul, key, value), wall: () => engine.wall(), now: () => engine.now(),
      rule: mayBeWritten, stored: (soul, key) => engine.mail.stored(soul, key),
    });
    const records = await parts.store.read();
    const { sessions, got } = restore(records, new Set([...parts.taken, ...parts.handedOn]));
    for (const [peer, kept] of sessions) {
      if (peer !== engine.peerID) engine.members.set(peer, new Member(peer, engine.peerID, engine.now(), kept));
    }
    engine.mail = new Mail(engine, records);
    for (const key of parts.taken) engine.#forget(key);
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
      if (member.session.path === "mesh") next = Math.min(next, member.farewellAt + FAREWELL_AGE);
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
        this.#rekey(member, () => member.cipher.handleTimeout(this.now()));
      }
      this.signaling.negotiate(member);
      if (this.now() >= member.slots.clearAt) {
        member.slots.clearAt = Infinity;
        this.inTurn(member, () => this.relayPath.clear(member));
      }
      this.#rest(member);
      this.#keepFarewell(member);
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
    const member = new Member(peer, this.peerID, this.now());
    member.session.setPaused(this.#isPaused);
    this.members.set(peer, member);
    return member;
  }

  /** Makes room: a member who is away and to whom nothing is owed, first one who never said a word. */
  #forgetSomebody() {
    const idle = [...this.members.values()].filter(({ session }) => !session.isUp && session.outbound.isEmpty);
    idle.sort((a, b) => (a.session.lastHeard ?? -1) - (b.session.lastHeard ?? -1));
    if (!idle.length) return false;
    this.#endRun(idle[0]);
    return this.members.delete(idle[0].peer);
  }

  /** A member runs with a session key we had not seen. */
  startRun(member, cipher, isFirst) {
    if (!isFirst) this.#endRun(member);
    member.cipher = cipher;
    this.#noteKeys(member);
    member.session.peerRestarted(this.now());
    member.negotiation = new member.negotiation.constructor(member.negotiation.decides, this.now());
    this.openRelayPath(member);
    this.mesh.updatePath(member);
    this.pump(member);
  }

  #endRun(member) {
    // The session first: of one that is no more nobody is told which paths it has.
    member.session.peerRestarted(this.now());
    this.signaling.forget(member);
    member.cipher = null;
    this.#noteKeys(member);
    member.knowsUs = false;
    this.#tellLeft(member);
  }

  /** Finds a member's envelopes by the keys that they may be sealed with, and by no others. */
  #noteKeys(member) {
    for (const id of member.keyIDs) this.byKeyID.delete(id);
    member.keyIDs = member.cipher?.peerKeyIDs ?? [];
    for (const id of member.keyIDs) this.byKeyID.set(id, member);
  }

  /** Takes what a member's packet says of keys, and has them replaced when that is due (docs/protocol.md, "Rekeying"). */
  takeRekeying(frames, member) {
    const { cipher } = member;
    this.mail.takePrekeys(frames, member);
    for (const frame of frames) {
      if (["rekey", "rekeyed", "switched"].includes(frame.type)) this.#rekey(member, () => cipher?.receive(frame, this.now()));
    }
    if (cipher) this.#noteKeys(member);
  }

  #rekey(member, body) {
    const { cipher } = member;
    this.queue(async () => {
      if (!cipher || member.cipher !== cipher) return;
      await body();
      if (member.cipher !== cipher) return;
      for (const frame of cipher.frames.splice(0)) member.session.say(frame);
      this.#noteKeys(member);
      this.pump(member);
    });
  }

  #tellLeft(member) {
    if (!member.isAnnounced) return;
    member.isAnnounced = false;
    this.emit({ type: "left", peer: member.peer });
  }

  /** A member said good-bye: what we have for it waits for its return. */
  left(member) {
    this.#endRun(member);
    member.session.pathClosed("relay", this.now());
    member.session.pathClosed("mesh", this.now());
    member.negotiation = new member.negotiation.constructor(member.negotiation.decides, Infinity);
    member.planes.clear();
  }

  /** Lets a member be of whom nothing was heard for so long that its record is stale. */
  #rest(member) {
    if (member.isDormant || member.session.isUp || this.now() - member.heardOfAt <= FRESHNESS) return;
    member.isDormant = true;
    member.session.pathClosed("relay", this.now());
    member.session.pathClosed("mesh", this.now());
    this.signaling.endConnection(member);
  }

  wake(member) {
    if (!member.isDormant) return;
    member.isDormant = false;
    member.negotiation.hurry(this.now());
    this.openRelayPath(member);
    this.mesh.updatePath(member);
  }

  openRelayPath(member) {
    if (!this.gun.isConnected || !this.paths.has("relay") || !member.cipher || member.isDormant) return;
    member.session.pathOpened("relay", this.now());
    this.pump(member);
  }

  #relayOpened(link) {
    const isFirst = !this.gun.isConnected;
    this.gun.linkOpened(link);
    this.emit({ type: "link", url: link.url, isOpen: true });
    this.presence.announceAt = 0;
    if (isFirst) for (const member of this.members.values()) this.openRelayPath(member);
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

  /**
   * Queues a message; it leaves when it is kept.
   * @param {string} peer @param {Uint8Array} content @param {boolean} isText
   * @returns {Promise<number>} its number among those to this member, when it is kept
   */
  send(peer, content, isText) {
    if (peer === this.peerID) throw new SendError("a member does not send to itself: choose another");
    if (content.length > SESSION.largestMessage) {
      throw new SendError(`a message has ${SESSION.largestMessage} bytes at most: send it in parts`);
    }
    const member = this.member(peer);
    if (!member) throw new SendError("too many members are known: no room for one more");
    const { outbound } = member.session;
    if (outbound.bytes + content.length > SESSION.largestBacklog) {
      throw new SendError("too much waits for this member already: send more when that has been delivered");
    }
    const { message, sequence } = outbound.enqueue(content, isText);
    const { next } = outbound;
    this.keeping.set(messageKey(peer, message), { number: message, sequence, isText, content });
    this.keeping.set(`out/${peer}`, { stream: outbound.stream, nextMessage: outbound.nextMessage, next });
    return new Promise((done) => this.keeping.afterwards(() => {
      outbound.release(next);
      this.pump(member);
      done(message);
    }));
  }

  /** The application has taken a message: it will not be handed on again. */
  taken({ from, stream, sequence }) {
    this.#forget(gotKey(from, stream, sequence));
  }

  #forget(key) {
    this.takenLately.add(key);
    this.keeping.set(key, undefined);
    this.keeping.afterwards(() => this.takenLately.delete(key));
  }

  get isPaused() {
    return this.#isPaused;
  }

  setPaused(isPaused) {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (!isPaused) this.mail.read();
    for (const member of this.members.values()) {
      member.session.setPaused(isPaused);
      this.pump(member);
    }
  }

  /** Moves what a member's session has to say to the application, to storage and to its paths. @param {Member} member */
  pump(member) {
    for (let event; (event = member.session.events.shift()); ) this.#handle(event, member);
    this.signaling.flush(member);
    const { cipher } = member;
    for (const [carrier, way] of /** @type {const} */ ([["relay", this.relayPath], ["mesh", this.mesh]])) {
      for (let packet; cipher && (packet = member.session.pollPacket(carrier, Infinity, this.now())); ) {
        if (member.blocked.has(carrier)) continue;
        const sent = packet;
        this.inTurn(member, async () => {
          if (member.cipher === cipher) await way.send(member, envelopeDatagram(await cipher.seal(sent)));
        });
      }
    }
    this.poke();
  }

  #handle(event, member) {
    const { peer } = member;
    switch (event.type) {
      case "up":
        member.isAnnounced = true;
        this.wake(member);
        member.negotiation.hurry(this.now());
        if (member.resend?.count > 1) member.resend.at = this.now();
        if (member.cipher?.epoch === 0) this.#rekey(member, () => member.cipher.begin(this.now()));
        this.emit({ type: "peer", peer, name: member.name, path: event.path });
        break;
      case "path":
        this.emit({ type: "path", peer, path: event.path, rtt: event.rtt });
        break;
      case "message": {
        const { stream } = member.session.inbound;
        const message = {
          from: peer, stream, sequence: event.number, path: event.path, isText: event.isText, content: event.content,
        };
        // Handed on when it is kept: a page that is loaded again has it still.
        this.keeping.set(gotKey(peer, stream, event.number), message);
        this.keeping.afterwards(() => this.emit({ ...message, type: "message" }));
        break;
      }
      case "inboundAdvanced": {
        const { stream, next } = event;
        this.mail.noteStream(member, stream, Math.floor(this.wall()));
        this.keeping.set(`in/${peer}`, { stream, next });
        this.keeping.afterwards(() => {
          member.session.commit(stream, next);
          this.mail.settle(member);
          this.pump(member);
        });
        break;
      }
      case "delivered":
        this.keeping.set(messageKey(peer, event.number), undefined);
        this.emit({ type: "delivered", to: peer, sequence: event.number });
        break;
      case "bye":
        this.left(member);
        break;
      case "away":
        this.#tellLeft(member);
        break;
    }
  }

  /** What is sealed for a member leaves in the order in which it was said. @template T @param {() => Promise<T>} body */
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

  // Fault injection.

  block(path, peer) {
    this.#setBlocked(peer, ({ blocked }) => blocked.add(path));
  }

  unblock(path, peer) {
    this.#setBlocked(peer, ({ blocked }) => blocked.delete(path));
  }

  #setBlocked(peer, body) {
    for (const member of this.members.values()) {
      if (peer && member.peer !== peer) continue;
      body(member);
      this.signaling.holdGraph(member);
    }
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

  /** A good-bye for a member that nothing but a third one reaches, sealed while there is time. */
  #keepFarewell(member) {
    if (member.session.path !== "mesh" || !member.cipher) return (member.farewell = null);
    if (this.now() < member.farewellAt + FAREWELL_AGE) return;
    member.farewellAt = this.now();
    this.inTurn(member, async () => (member.farewell = member.cipher && envelopeDatagram(await member.cipher.seal(byePacket()))));
  }

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
    for (const link of this.relays) link.stop();
    for (const { link } of this.trackers) link.stop();
    await this.keeping.finished();
  }
}
