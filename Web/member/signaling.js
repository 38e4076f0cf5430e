// Signaling: offers, answers and candidates, sealed and signed, over every carrier there is.

import { randomU64, Refusal } from "../base/bytes.js";
import {
  Kind, openOpenOffer, openSignal, parseTrackerText, sealOpenOffer, sealSignal, trackerText,
} from "../sealing/signal.js";
import { parsePacket } from "../session/frame.js";
import { Connection } from "../signaling/connection.js";
import { signalDatagram } from "./relay-path.js";
import { SeenSignals } from "./seen-signals.js";

/** Times in milliseconds. */
const TIMES = Object.freeze({
  answer: 20_000,
  open: 12_000,
  openOffer: 60_000,
  firstRestart: 1_000,
  longestRestart: 15_000,
  silence: 60_000,
  resendLimit: 6,
  statistics: 5_000,
});
const MOST_OPEN_OFFERS = 12;

export class Signaling {
  #engine;
  /** @type {Map<bigint, Connection>} */
  #connections = new Map();
  #seen = new SeenSignals();
  #statisticsAt = 0;

  /** @param {import("./engine.js").Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  get usesConnections() {
    const { paths, isLeaving } = this.#engine;
    return typeof RTCPeerConnection !== "undefined" && ["direct", "turn", "mesh"].some((path) => paths.has(path)) && !isLeaving;
  }

  /** Whether messages go on peer connections, or only what is passed on for others. */
  get #sendsOnConnections() {
    const { paths } = this.#engine;
    return paths.has("direct") || paths.has("turn");
  }

  /** @returns {Connection | null} */
  openConnection(member) {
    const connection = this.#connections.get(member.negotiation.connection);
    return connection?.isOpen ? connection : null;
  }

  // What is due.

  #negotiates(member) {
    return this.usesConnections && member.cipher !== null && !member.isDormant && this.#engine.admission.isWelcome(member);
  }

  /** When {@link negotiate} is due. */
  nextTimeout(member) {
    if (!this.#negotiates(member)) return Infinity;
    const { offerAt, deadline } = member.negotiation;
    return Math.min(offerAt, deadline, member.resend?.at ?? Infinity, this.#restartAt(member));
  }

  /** Offers, repeats, restarts and gives up, as the negotiation with a member asks for. */
  negotiate(member) {
    if (!this.#negotiates(member)) return;
    const now = this.#engine.now();
    if (now >= member.negotiation.offerAt) {
      if (this.#engine.carriesSignals(member)) {
        this.#offer(member);
      } else {
        // Nothing carries a directed offer, but open ones may do.
        for (const { client } of this.#engine.trackers) client.announceSoon();
        member.negotiation.ended(now);
      }
    }
    if (now >= member.negotiation.deadline) this.endConnection(member);
    if (member.resend && now >= member.resend.at) {
      const { datagram, count } = member.resend;
      this.#engine.sendDatagram(member, datagram);
      member.resend = count >= TIMES.resendLimit ? null : { datagram, at: now + 1_000 * 2 ** count, count: count + 1 };
    }
    this.#restartIfBroken(member);
  }

  /** Gives up offers that nobody took, and looks which way the connections go. */
  handleTimeout() {
    const now = this.#engine.now();
    for (const connection of [...this.#connections.values()]) {
      if (connection.peer === null && now >= connection.expiresAt) this.#remove(connection);
    }
    if (now < this.#statisticsAt) return;
    this.#statisticsAt = now + TIMES.statistics;
    for (const connection of this.#connections.values()) if (connection.isOpen) this.#notePath(connection);
  }

  get nextSweep() {
    let next = Infinity;
    for (const connection of this.#connections.values()) {
      if (connection.isOpen) next = Math.min(next, this.#statisticsAt);
      if (connection.peer === null) next = Math.min(next, connection.expiresAt);
    }
    return next;
  }

  /** The network changed: every connection is told, by a restart. */
  networkChanged() {
    const now = this.#engine.now();
    for (const member of this.#engine.members.values()) {
      if (member.negotiation.phase === "connected") member.restart = { at: now, count: 0 };
      member.negotiation.hurry(now);
    }
  }

  // Connections.

  #make(id, peer) {
    const connection = new Connection(id, peer, { iceServers: this.#engine.iceServers }, {
      opened: (c) => this.#opened(c),
      packet: (c, packet) => this.#packet(c, packet),
      ended: (c) => this.#ended(c),
      writable: (c) => this.#withMember(c, (member) => this.#engine.pump(member)),
      healed: (c) => this.#withMember(c, (member) => {
        member.restart = null;
        member.session.probe();
        this.#notePath(c);
        this.#engine.pump(member);
      }),
      graphOpened: (c) => this.#withMember(c, (member) => {
        if (member.blocked.has("direct")) c.graph.hold();
        this.#engine.gun.linkOpened(c.graph, "member");
        this.#engine.poke();
      }),
      graphFrame: (c, text) => this.#engine.graphFrame(c.graph, text),
      graphWritable: (c) => this.#engine.gun.memberHasRoom(c.graph),
      graphClosed: (c) => {
        if (c.graph) this.#engine.gun.linkClosed(c.graph);
        this.#engine.poke();
      },
      candidates: (c, ufrag, candidates) => this.#withMember(c, (member) => {
        this.#say(member, { kind: Kind.candidates, connection: c.id, ufrag, candidates });
      }),
    });
    this.#connections.set(id, connection);
    return connection;
  }

  /** Does something with the member that a connection belongs to. */
  #withMember(connection, body) {
    const member = this.#engine.members.get(connection.peer ?? "");
    if (member && this.#connections.get(connection.id) === connection) body(member);
  }

  #opened(connection) {
    this.#withMember(connection, (member) => {
      if (member.negotiation.connection !== connection.id) return;
      connection.isOpen = true;
      member.resend = null;
      member.restart = null;
      member.negotiation.opened(connection.id);
      if (this.#sendsOnConnections) member.session.pathOpened("connection", this.#engine.now());
      this.#notePath(connection);
      this.#engine.mesh.neighboursChanged();
      this.#engine.pump(member);
    });
  }

  #packet(connection, packet) {
    this.#withMember(connection, (member) => {
      if (!connection.isOpen || member.blocked.has("direct")) return;
      try {
        const frames = parsePacket(packet);
        if (this.#sendsOnConnections) member.session.receive(frames, "connection", this.#engine.now());
        this.#engine.runs.takeRekeying(frames, member);
        this.#engine.mesh.receive(frames, member);
      } catch (error) {
        this.#engine.refuse(error);
      }
      this.#engine.pump(member);
    });
  }

  async #notePath(connection) {
    const selected = await connection.selectedPath().catch(() => null);
    if (!selected) return;
    this.#withMember(connection, (member) => {
      if (member.negotiation.connection !== connection.id) return;
      member.session.connectionMoved(selected.path);
      this.#engine.pump(member);
    });
  }

  /** The far end closed the connection, or it cannot go on. */
  #ended(connection) {
    const member = this.#engine.members.get(connection.peer ?? "");
    this.#remove(connection);
    if (!member || member.negotiation.connection !== connection.id) return;
    member.resend = null;
    member.negotiation.ended(this.#engine.now());
    this.#engine.pump(member);
  }

  #remove(connection) {
    if (!this.#connections.delete(connection.id)) return;
    connection.close();
    if (!connection.isOpen) return;
    connection.isOpen = false;
    const member = this.#engine.members.get(connection.peer ?? "");
    if (!member) return;
    member.session.pathClosed("connection", this.#engine.now());
    member.mesh.disconnected();
    this.#engine.mesh.neighboursChanged();
  }

  /** Sends what the session has for the peer connection. */
  flush(member) {
    const connection = this.openConnection(member);
    if (!connection) return;
    if (connection.isDead) return this.#ended(connection);
    for (let packet; (packet = member.session.pollPacket("connection", connection.room, this.#engine.now())); ) {
      if (member.blocked.has("direct")) continue;
      // All that is not acknowledged goes out again on another path.
      if (!connection.send(packet)) return this.#ended(connection);
    }
  }

  /** Fault injection: the graph's channel stands still while the direct path is blocked. */
  holdGraph(member) {
    const { graph } = this.openConnection(member) ?? {};
    if (member.blocked.has("direct")) graph?.hold();
    else graph?.release();
  }

  /** Gives the connection with a member up; the deciding side tries another later. */
  endConnection(member) {
    const connection = this.#connections.get(member.negotiation.connection);
    if (connection) this.#remove(connection);
    member.resend = null;
    member.negotiation.ended(this.#engine.now());
  }

  /** A member's run is over, and so is its connection. */
  forget(member) {
    const connection = this.#connections.get(member.negotiation.connection);
    if (connection) this.#remove(connection);
    member.resend = member.lastAnswer = member.restart = null;
  }

  closeAll() {
    for (const connection of [...this.#connections.values()]) this.#remove(connection);
  }

  // Offers of ours.

  #offer(member) {
    const now = this.#engine.now();
    const connection = this.#make(randomU64(), member.peer);
    member.negotiation.offered(connection.id, this.#engine.wall(), now + TIMES.answer);
    this.#sendOffer(connection, member, connection.offer());
  }

  #restart(connection, member) {
    member.negotiation.restarted(this.#engine.wall());
    this.#sendOffer(connection, member, connection.offer({ isRestart: true }));
  }

  async #sendOffer(connection, member, made) {
    const { attempt } = member.negotiation;
    const isCurrent = () => member.negotiation.connection === connection.id && member.negotiation.attempt === attempt;
    try {
      const sdp = await made;
      if (isCurrent()) this.#say(member, { kind: Kind.offer, connection: connection.id, sdp }, { isRepeated: true });
    } catch (error) {
      if (!isCurrent()) return;
      this.#engine.warn(`no offer could be made: ${error.message}`);
      this.endConnection(member);
    }
  }

  #silentSince(member, connection) {
    const since = Math.min(member.session.suspectSince ?? Infinity, connection.brokenSince ?? Infinity);
    return since === Infinity ? null : since;
  }

  #restartAt(member) {
    const connection = this.openConnection(member);
    if (!connection) return Infinity;
    const silentSince = this.#silentSince(member, connection);
    if (silentSince === null) return member.restart?.count === 0 ? member.restart.at : Infinity;
    return member.restart?.at ?? silentSince + TIMES.firstRestart;
  }

  /** An ICE restart, tried again ever later while the direct path stays silent. */
  #restartIfBroken(member) {
    const connection = this.openConnection(member);
    if (!connection) return;
    const now = this.#engine.now();
    const silentSince = this.#silentSince(member, connection);
    if (silentSince === null && member.restart?.count !== 0) member.restart = null;
    if (now < this.#restartAt(member)) return;
    const count = member.restart?.count ?? 0;
    const wait = Math.min(TIMES.firstRestart * 2 ** Math.min(count, 4), TIMES.longestRestart);
    member.restart = { at: now + wait, count: count + 1 };
    if (silentSince !== null && now - silentSince > TIMES.silence) {
      this.endConnection(member);
    } else if (this.#engine.carriesSignals(member)) {
      if (member.negotiation.decides) this.#restart(connection, member);
      else this.#say(member, { kind: Kind.restartRequest, connection: connection.id });
    }
  }

  /**
   * Seals a signal to a member and sends it.
   * @returns {Promise<Uint8Array | null>} the sealed signal
   */
  #say(member, content, { isRepeated = false } = {}) {
    const { identity, topic, peerID } = this.#engine;
    const { cipher, presence } = member;
    const signal = {
      ...content, sender: peerID, recipient: member.peer, timestamp: this.#engine.wall(), id: randomU64(),
      attempt: member.negotiation.attempt,
    };
    return this.#engine.inTurn(member, async () => {
      if (!presence || member.cipher !== cipher) return null;
      const sealed = await sealSignal(signal, identity, topic, presence.sessionKey);
      const datagram = signalDatagram(sealed);
      if (isRepeated && member.negotiation.connection === content.connection) {
        member.resend = { datagram, at: this.#engine.now() + 1_000, count: 1 };
      }
      await this.#engine.sendSignal(member, datagram);
      this.#engine.poke();
      return sealed;
    });
  }

  // Signals of others.

  /** Takes a signal that was opened and whose signature was good. @param {import("../sealing/signal.js").Signal} signal */
  take(signal, plane) {
    const engine = this.#engine;
    if (signal.recipient !== engine.peerID || signal.sender === engine.peerID) throw new Refusal("notForUs");
    if (!engine.presence.isFresh(signal.timestamp)) throw new Refusal("stale");
    const member = engine.members.get(signal.sender);
    if (!member?.cipher) throw new Refusal("notForUs");
    if (member.refusal) return engine.admission.sayRefused(member);
    engine.admission.heard(member);
    const sighting = this.#seen.sight(signal.id, plane, engine.now());
    if (sighting === "copy" || !this.usesConnections) return;
    const isNew = sighting === "new";
    if (signal.kind === Kind.offer) {
      this.#takeOffer(signal, member, isNew);
    } else {
      if (!isNew) throw new Refusal("replayed");
      this.#takeOther(signal, member);
    }
    engine.pump(member);
  }

  #takeOther(signal, member) {
    const connection = this.#connections.get(signal.connection);
    switch (signal.kind) {
      case Kind.answer:
        return this.#takeAnswer(signal, member, connection);
      case Kind.candidates:
        if (connection?.peer === member.peer) connection.addCandidates(signal.ufrag, signal.candidates);
        break;
      case Kind.restartRequest: {
        // While an offer of ours is still being repeated, there is no need for another.
        const open = this.openConnection(member);
        if (member.negotiation.decides && !member.resend && open?.id === signal.connection) this.#restart(open, member);
        break;
      }
      case Kind.closed:
        if (member.negotiation.connection === signal.connection) this.endConnection(member);
        break;
    }
  }

  #takeOffer(signal, member, isNew) {
    const verdict = member.negotiation.verdict(signal.connection, signal.attempt);
    if (verdict === "repeatAnswer") {
      if (member.lastAnswer) this.#engine.sendDatagram(member, signalDatagram(member.lastAnswer));
      return;
    }
    if (!isNew) throw new Refusal("replayed");
    if (verdict === "gone") this.#say(member, { kind: Kind.closed, connection: signal.connection });
    if (verdict === "restart") {
      const connection = this.#connections.get(signal.connection);
      if (connection) this.#answer(signal, connection, member);
    }
    if (verdict === "answer") {
      this.endConnection(member);
      this.#answer(signal, this.#make(signal.connection, member.peer), member);
    }
  }

  /** Answers an offer. @returns {Promise<Uint8Array | null>} the sealed answer */
  async #answer(offer, connection, member) {
    member.lastAnswer = null;
    member.negotiation.answered(connection.id, offer.attempt, this.#engine.now() + TIMES.open);
    try {
      const sdp = await connection.answer(offer.sdp);
      if (member.negotiation.connection !== connection.id) return null;
      const sealed = await this.#say(member, { kind: Kind.answer, connection: connection.id, sdp });
      if (member.negotiation.connection === connection.id) member.lastAnswer = sealed;
      connection.trickle();
      return sealed;
    } catch (error) {
      this.#engine.warn(`an offer of ${member.peer.slice(0, 8)} could not be answered: ${error.message}`);
      if (!connection.isOpen) this.#ended(connection);
      return null;
    }
  }

  #takeAnswer(signal, member, connection) {
    if (!connection) return;
    const isOpenOffer = connection.peer === null;
    if (!isOpenOffer && connection.peer !== member.peer) throw new Refusal("forged");
    const former = this.#connections.get(member.negotiation.connection);
    const deadline = this.#engine.now() + TIMES.open;
    if (!member.negotiation.takesAnswer(signal.connection, signal.attempt, isOpenOffer, deadline)) return;
    member.resend = null;
    if (isOpenOffer) {
      if (former && former !== connection) this.#remove(former);
      connection.peer = member.peer;
      connection.expiresAt = Infinity;
      connection.trickle();
    }
    connection.accept(signal.sdp).catch((error) => {
      this.#engine.warn(`the answer of ${member.peer.slice(0, 8)} was not understood: ${error.message}`);
      if (!connection.isOpen) this.#ended(connection);
    });
  }

  // Offers through trackers.

  /** Offers for a tracker to hand to whoever is there. @param {number} count @returns {Promise<string[]>} */
  async openOffers(count) {
    const engine = this.#engine;
    if (!this.usesConnections) return [];
    const waiting = [...this.#connections.values()].filter(({ peer }) => peer === null).length;
    const presence = await engine.presence.sealed();
    const one = async () => {
      const connection = this.#make(randomU64(), null);
      connection.expiresAt = engine.now() + TIMES.openOffer;
      const wall = engine.wall();
      const signal = {
        kind: Kind.offer, sender: engine.peerID, recipient: null, timestamp: wall, id: randomU64(),
        connection: connection.id, attempt: Math.floor(wall), sdp: await connection.offer(),
      };
      return trackerText(presence, await sealOpenOffer(signal, engine.identity, engine.topic));
    };
    return Promise.all(Array.from({ length: Math.max(0, Math.min(count, MOST_OPEN_OFFERS - waiting)) }, one));
  }

  /** Takes an offer that a tracker brought; the answer goes back through it and over the relay. @returns {Promise<string | null>} */
  async takeOpenOffer(characters) {
    const engine = this.#engine;
    const { presence, signal } = parseTrackerText(characters);
    const member = await engine.presence.take(presence, "tracker");
    if (!member) return null;
    const offer = await openOpenOffer(signal, engine.topic);
    if (offer.sender !== member.peer || offer.recipient !== null || offer.kind !== Kind.offer) throw new Refusal("forged");
    if (!engine.presence.isFresh(offer.timestamp)) throw new Refusal("stale");
    const sighting = this.#seen.sight(offer.id, "tracker", engine.now());
    if (sighting === "replayed") throw new Refusal("replayed");
    const own = await engine.presence.sealed();
    if (sighting === "copy" || !this.#negotiates(member) || !member.negotiation.takesOpenOffer) return null;
    // The decider's numbers order its directed offers; an open one stands outside that order.
    const { decides, attempt } = member.negotiation;
    offer.attempt = decides ? Math.max(attempt + 1, Math.floor(engine.wall())) : attempt;
    const sealed = await this.#answer(offer, this.#make(offer.connection, member.peer), member);
    return sealed && trackerText(own, sealed);
  }

  /** Takes an answer that a tracker brought. */
  async takeTrackerAnswer(characters) {
    const engine = this.#engine;
    const { presence, signal } = parseTrackerText(characters);
    if (!(await engine.presence.take(presence, "tracker"))) return;
    this.take(await openSignal(signal, engine.sessionKey, engine.topic), "tracker");
  }
}
