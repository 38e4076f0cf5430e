// With whom this member takes part in conversations (docs/protocol.md, "Admission").

import { REFUSALS } from "../session/session.js";
import { envelopeDatagram } from "./relay-path.js";

/** How long one that refuses us is left alone, in milliseconds. */
const RESTRAINT = 60_000;
/** How often one that is refused is told so. */
const REFUSAL_INTERVAL = 30_000;

/**
 * Whom and what a member takes.
 * @typedef {object} Policy
 * @property {(applicant: {peer: string, name: string}) => boolean} [admits] whether a member takes part; asked at each of its runs
 * @property {(sender: string, message: {isText: boolean, bytes: Uint8Array}) => boolean} [accepts] whether a message is taken
 * @property {import("../session/rate.js").RateLimit} [rateLimit] what each member may send
 *
 * @typedef {import("./member.js").Member} Member
 */

export class Admission {
  /** The members that are blocked. @type {Set<string>} */
  blocked = new Set();
  #engine;

  /** @param {import("./engine.js").Engine} engine @param {Map<string, unknown>} records what an earlier run kept */
  constructor(engine, records) {
    this.#engine = engine;
    for (const name of records.keys()) if (name.startsWith("blocked/")) this.blocked.add(name.slice(8));
  }

  // What the owner wants.

  /** Ends the conversation with a member: what waits for it is rejected. */
  kick(peer) {
    const member = this.#engine.members.get(peer);
    if (member && !member.refusal) this.#refuse(member, "kicked");
  }

  /** Refuses a member, in this run and, where state is kept, in later ones. */
  block(peer) {
    if (peer === this.#engine.peerID || this.blocked.has(peer)) return;
    this.blocked.add(peer);
    this.#engine.keeping.set(`blocked/${peer}`, true);
    const member = this.#engine.members.get(peer);
    if (member) this.#refuse(member, "blocked");
  }

  /** Ends what `block` or `kick` began. */
  unblock(peer) {
    if (this.blocked.delete(peer)) this.#engine.keeping.set(`blocked/${peer}`, undefined);
    const member = this.#engine.members.get(peer);
    if (member?.refusal && member.refusal.reason !== "notAdmitted") this.#welcome(member);
  }

  // Those we refuse.

  /** Why a run of a member is refused; `null` when it is not. @param {import("../sealing/presence.js").PresenceRecord} record */
  refusal({ peer, name }) {
    if (this.blocked.has(peer)) return { reason: "blocked", saidAt: -Infinity };
    const { admits } = this.#engine.policy;
    return !admits || admits({ peer, name }) ? null : { reason: "notAdmitted", saidAt: -Infinity };
  }

  /** Whether a message is taken. */
  accepts(peer, isText, bytes) {
    const { accepts } = this.#engine.policy;
    return !accepts || Boolean(accepts(peer, { isText, bytes }));
  }

  #refuse(member, reason) {
    member.refusal = { reason, saidAt: -Infinity };
    this.#engine.conversations.reject(member, "blockedHere");
    this.sayRefused(member);
    this.#withdraw(member);
  }

  /** Ends what there is with a member; only its keys stay, so that it can be told. */
  #withdraw(member) {
    const engine = this.#engine;
    engine.signaling.endConnection(member);
    member.session.indirectPathsClosed(engine.now());
    member.session.peerRestarted(engine.now());
    member.negotiateFrom(Infinity);
    member.restart = null;
    member.planes.clear();
    engine.pump(member);
    engine.runs.tellLeft(member);
  }

  /** Tells a member that it is refused, after all that it may know of what it sent. @param {Member} member */
  sayRefused(member) {
    const engine = this.#engine;
    const { refusal, cipher } = member;
    if (!refusal || !cipher || engine.isLeaving || engine.now() - refusal.saidAt < REFUSAL_INTERVAL) return;
    refusal.saidAt = engine.now();
    const packet = member.session.lanes.lastPacket(REFUSALS[refusal.reason]);
    engine.signaling.openConnection(member)?.send(packet);
    engine.inTurn(member, async () => {
      if (member.cipher !== cipher) return;
      const datagram = envelopeDatagram(await cipher.seal(packet));
      if (engine.gun.isConnected) await engine.relayPath.send(member, datagram);
      await engine.mesh.send(member, datagram);
    });
  }

  /** Takes part in conversations with a member again. */
  #welcome(member) {
    member.refusal = null;
    if (member.cipher && !member.presence?.isLeaving) this.#engine.runs.begin(member);
  }

  // Those who refuse us.

  /** Whether a member takes nothing of us now. @param {Member} member */
  refuses({ refusedUs }) {
    return refusedUs !== null && this.#engine.now() < refusedUs.until;
  }

  /** Whether there is to be a conversation with a member. @param {Member} member */
  isWelcome(member) {
    return !member.refusal && !this.refuses(member);
  }

  /** A member says that it takes no part in a conversation with us. */
  refusedBy(member, reason) {
    member.refusedUs = { reason, until: this.#engine.now() + RESTRAINT };
    this.#engine.conversations.reject(member, reason);
    this.#withdraw(member);
  }

  /** Something authentic came: who speaks to us does not refuse us any more, unless it says so. @param {Member} member */
  heard(member, frames = []) {
    if (!member.refusedUs || frames.some(({ type }) => type === "refused")) return;
    this.#tryAgain(member);
  }

  /** When one that refuses us is tried again. @param {Member} member */
  againAt({ refusedUs }) {
    return refusedUs?.until ?? Infinity;
  }

  handleTimeout(member) {
    if (this.#engine.now() >= this.againAt(member)) this.#tryAgain(member);
  }

  #tryAgain(member) {
    member.refusedUs = null;
    if (!member.refusal) this.#welcome(member);
  }
}
