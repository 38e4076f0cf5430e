// Mesh paths: datagrams, sealed as on the relay path, through a third member that both are connected with; never through
// two (docs/protocol.md, "Mesh"). So this browser passes on for others, within limits, and others for it.

import { MOST_NEIGHBOURS, packetOf } from "../session/frame.js";
import { CHANNEL_QUEUE } from "../signaling/connection.js";
import { prefixOf } from "./neighbour.js";
import { introduction, LARGEST_DATAGRAM } from "./relay-path.js";

/** How long a change of the neighbours waits for the next one before it is told, in milliseconds. */
const TELLING_DELAY = 200;
/** How long a forwarder is tried before another is. */
const FORWARDER_PATIENCE = 1_000;
/** How many of those who are connected with two strangers hand the records of the one on to the other: one may be gone and not missed yet. */
const INTRODUCERS = 2;
/** How long a path counts for that nobody has measured. */
const UNMEASURED = 1_000;

export class Mesh {
  #engine;
  #forwards;
  /** When neighbours are told of each other. */
  tellAt = Infinity;

  /** @param {import("./engine.js").Engine} engine @param {boolean} forwards whether we hand on what is for others */
  constructor(engine, forwards) {
    this.#engine = engine;
    this.#forwards = forwards;
  }

  // Whom we are connected with.

  /** The members with an open connection, in the order of their ids. */
  get #neighbours() {
    const open = [...this.#engine.members.values()].filter((member) => this.#connection(member));
    return open.sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
  }

  #connection(member) {
    return this.#engine.signaling.openConnection(member);
  }

  /** A connection has come or gone. */
  neighboursChanged() {
    this.tellAt = Math.min(this.tellAt, this.#engine.now() + TELLING_DELAY);
    this.updatePaths();
    this.#engine.poke();
  }

  /** Tells neighbours of each other, if something is new. */
  async handleTimeout() {
    const engine = this.#engine;
    if (engine.now() < this.tellAt) return;
    this.tellAt = Infinity;
    const own = await engine.presence.sealed();
    const neighbours = this.#neighbours;
    const ids = neighbours.slice(0, MOST_NEIGHBOURS).map(({ prefix }) => prefix);
    for (const member of neighbours) {
      if (member.mesh.told?.join() === ids.join()) continue;
      if (member.mesh.told === null) this.#tell({ type: "presence", record: own }, member);
      member.mesh.told = ids;
      this.#tell({ type: "neighbours", forwards: this.#forwards, ids }, member);
      this.#introduceOthers(member, neighbours);
    }
  }

  /** Our new record is told to the neighbours, who may tell theirs. @param {Uint8Array} record */
  tellPresence(record) {
    for (const member of this.#neighbours) this.#tell({ type: "presence", record }, member);
  }

  /** Gives a member the records of our neighbours that are not its own. */
  #introduceOthers(member, neighbours) {
    if (!this.#forwards) return;
    for (const other of neighbours.slice(0, MOST_NEIGHBOURS)) this.#introduce(other, member);
  }

  /** Gives a neighbour the record of another, unless it has that already, or others see to it. */
  #introduce(other, member) {
    const { peer, presence, sealedPresence: record } = other;
    if (!areStrangers(other, member) || !presence || member.mesh.introduced.get(peer) === presence.timestamp) return;
    if (!this.#engine.presence.isFresh(presence.timestamp) || !this.#introduces(other, member)) return;
    member.mesh.introduced.set(peer, presence.timestamp);
    this.#tell({ type: "presence", record }, member);
  }

  /**
   * Whether it is for us to hand the records of one on to another: of all who can, a few do. Each finds out by itself who these are, from what
   * those say that it is connected with; whoever comes first in that order is sure to.
   */
  #introduces(one, other) {
    const pair = one.prefix ^ other.prefix;
    const own = rank(prefixOf(this.#engine.peerID), pair);
    const better = [...this.#engine.members.values()].filter(
      (member) => rank(member.prefix, pair) < own && this.#canForward(member, one) && this.#canForward(member, other),
    );
    return better.length < INTRODUCERS;
  }

  // Frames.

  /** Takes what a neighbour's connection brought and is not its session's. @param {import("../session/frame.js").Frame[]} frames */
  receive(frames, member) {
    for (const frame of frames) {
      switch (frame.type) {
        case "neighbours":
          member.mesh.forwards = frame.forwards;
          member.mesh.neighbours = new Set(frame.ids);
          this.#introduceOthers(member, this.#neighbours);
          this.updatePaths();
          break;
        case "presence":
          if (frame.record.length > LARGEST_DATAGRAM || !member.mesh.mayForward(frame.record.length, this.#engine.now())) break;
          this.#engine.queue(() => this.#receivePresence(frame.record, member));
          break;
        case "forward":
          this.#forward(frame, member);
          break;
        case "forwarded":
          this.#engine.queue(() => this.#engine.relayPath.takeDatagram(frame.datagram, "mesh"));
          break;
      }
    }
  }

  async #receivePresence(record, member) {
    const subject = await this.#engine.presence.take(record, "mesh");
    if (!subject) return;
    this.updatePath(subject);
    this.#engine.pump(subject);
    // Only what a member says of itself is handed on, and only by those who are connected with it.
    if (subject !== member || !this.#forwards) return;
    for (const other of this.#neighbours) this.#introduce(member, other);
  }

  /** Hands a datagram to a neighbour, if that is one and neither is a burden. */
  #forward({ peer, datagram }, sender) {
    const engine = this.#engine;
    if (!this.#forwards || engine.isLeaving || datagram.length > LARGEST_DATAGRAM || peer === sender.peer) return;
    const receiver = engine.members.get(peer);
    if (!receiver || !this.#connection(receiver)) return;
    if (!sender.mesh.mayForward(datagram.length, engine.now())) return engine.count("overLimit");
    this.#tell({ type: "forwarded", datagram }, receiver);
  }

  /** Sends a frame that is no part of the session; it is left out when the connection does not keep up. */
  #tell(frame, member) {
    const connection = this.#connection(member);
    if (!connection || member.blocked.has("direct") || connection.room <= 0 || connection.room > CHANNEL_QUEUE) return;
    connection.send(packetOf(frame));
  }

  // Paths.

  /** Sends a datagram to a member through a third one. */
  async send(member, datagram) {
    this.sendNow(member, member.knowsUs ? datagram : introduction(await this.#engine.presence.sealed(), datagram));
  }

  /** The same for a datagram as it is. */
  sendNow(member, content) {
    if (member.blocked.has("mesh")) return;
    const forwarder = this.#chooseForwarder(member);
    if (forwarder) this.#tell({ type: "forward", peer: member.peer, datagram: content }, forwarder);
  }

  /** Whether a third member can bring something to this one. */
  reaches(member) {
    return [...this.#engine.members.values()].some((neighbour) => this.#canForward(neighbour, member));
  }

  #canForward(neighbour, member) {
    const { mesh } = neighbour;
    return mesh.forwards && neighbour !== member && mesh.neighbours.has(member.prefix) && Boolean(this.#connection(neighbour));
  }

  /** Stays with one as long as it works; else takes the next, those whose own path is good and short first. */
  #chooseForwarder(member) {
    const { members } = this.#engine;
    const now = this.#engine.now();
    const present = members.get(member.mesh.forwarder);
    const isUsable = present && this.#canForward(present, member);
    const isPatient = !member.session.paths.mesh.isSuspect || now - member.mesh.chosenAt < FORWARDER_PATIENCE;
    if (isUsable && !present.session.isSuspect && isPatient) return present;
    const others = [...members.values()].filter((other) => other !== present && this.#canForward(other, member));
    const [next] = others.sort((a, b) => cost(a) - cost(b));
    const chosen = next ?? (isUsable ? present : null);
    member.mesh.forwarder = chosen?.peer ?? null;
    member.mesh.chosenAt = now;
    return chosen;
  }

  /** Opens and closes mesh paths as neighbours come and go. */
  updatePaths() {
    for (const member of this.#engine.members.values()) this.updatePath(member);
  }

  updatePath(member) {
    const engine = this.#engine;
    const mayBe = engine.paths.has("mesh") && member.cipher !== null && !member.isDormant && !engine.isLeaving;
    const isThere = mayBe && engine.admission.isWelcome(member) && this.reaches(member);
    if (isThere === member.session.paths.mesh.isOpen) return;
    if (isThere) {
      member.session.pathOpened("mesh", engine.now());
      member.negotiation.hurry(engine.now());
    } else {
      member.session.pathClosed("mesh", engine.now());
    }
    engine.pump(member);
  }
}

/** Where a member comes in the order of those who can introduce a pair: another for each pair, so that nobody is burdened with all of them. */
function rank(prefix, pair) {
  let mixed = BigInt.asUintN(64, (prefix ^ pair) * 0x9e3779b97f4a7c15n);
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 29n)) * 0xbf58476d1ce4e5b9n);
  return mixed ^ (mixed >> 32n);
}

/** Whether two neighbours of ours are not connected with each other, as far as they say. */
function areStrangers(a, b) {
  return a !== b && !a.mesh.neighbours.has(b.prefix) && !b.mesh.neighbours.has(a.prefix);
}

/** What it costs to go through a member: suspicion most, then a TURN server's bandwidth, then time. */
function cost({ session }) {
  const rtt = session.paths.connection.smoothedRTT ?? UNMEASURED;
  return (session.isSuspect ? 1e12 : 0) + (session.connectionPath === "turn" ? 1e9 : 0) + rtt;
}
