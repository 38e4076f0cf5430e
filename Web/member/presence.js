// Discovery: our own presence record, and those of others.

import { base64url, compare, fromBase64url, Refusal } from "../base/bytes.js";
import { StateClock } from "../gun/graph.js";
import { TokenBucket } from "../gun/link-state.js";
import { RelaySlots, STATE_LAG } from "./member.js";
import { SessionParties } from "../sealing/envelope.js";
import { SessionCipher } from "../sealing/session-cipher.js";
import { openPresence, sealPresence } from "../sealing/presence.js";

const DAY = 86_400_000;
/** Around midnight the neighbouring day is followed too. */
const MARGIN = 600_000;
const INTERVAL = 30_000;
/** How long a signed record is good for, in either direction of the clock. */
export const FRESHNESS = 120_000;
/** Our record is written anew at most so often, in milliseconds, for records of former runs. */
const OWN_RECORD_PAUSE = 10_000;
/** A member is shown a record of its former run at most so often, in milliseconds. */
const SHOWING_PAUSE = 5_000;

export const dayOf = (wall) => Math.floor(wall / DAY);

export class Presence {
  #engine;
  #lastTimestamp = 0;
  #states = new StateClock();
  /** @type {Promise<Uint8Array> | null} */
  #sealed = null;
  /** Our good-bye, newer than each record of ours, ready to be said: a page that goes away has no time to seal one. */
  #farewell = null;
  /** What tells our keys from those that were written before the clock was set back. */
  #tagNumber = null;
  /** How often records of former runs of ours that are ahead are answered at once. */
  #ownRecords = new TokenBucket(1_000 / OWN_RECORD_PAUSE, 5);
  /** The souls that are followed, by day. @type {Map<number, {presence: string, inbox: string}>} */
  #days = new Map();
  /** When our record is due. */
  announceAt = 0;

  /** @param {import("./engine.js").Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  isPresenceSoul(soul) {
    for (const day of this.#days.values()) if (day.presence === soul) return true;
    return false;
  }

  isInboxSoul(soul) {
    for (const day of this.#days.values()) if (day.inbox === soul) return true;
    return false;
  }

  /** What our keys in the souls of the swarm begin with: another after each time the clock was set back. */
  async tag() {
    const tag = await this.#engine.topic.tag(this.#engine.peerID);
    return this.#tagNumber === null ? tag : `${tag}.${this.#tagNumber}`;
  }

  /** The clock reads less than it did: our keys begin anew, and so do the slots. */
  clockSetBack() {
    // Records go on above the former ones, unless the clock was so wrong that nobody took them.
    if (!this.isFresh(this.#lastTimestamp)) this.#lastTimestamp = 0;
    this.#sealed = null;
    this.#tagNumber = Math.max(0, Math.floor(this.#engine.wall()));
    this.announceAt = 0;
    for (const member of this.#engine.members.values()) member.slots = new RelaySlots();
  }

  /**
   * Takes a record of our own that a plane brought. One of a former run that is ahead of us says that the clock was set back
   * between the two: others would refuse our records, and relays our keys, until it has caught up.
   */
  #takeOwn({ sessionKey, timestamp }) {
    const engine = this.#engine;
    if (compare(sessionKey, engine.sessionKey.point) === 0 || engine.isLeaving) return;
    if (!this.isFresh(timestamp) || timestamp < this.#lastTimestamp) return;
    // There may be records of several former runs, at several relays: the latest of all counts.
    this.#lastTimestamp = timestamp;
    // Another who runs with our identity does the same: no race between the two.
    if (this.#ownRecords.take(engine.now())) this.clockSetBack();
    else this.announceAt = Math.min(this.announceAt, engine.now() + OWN_RECORD_PAUSE);
    engine.poke();
  }

  isFresh(timestamp) {
    return Math.abs(timestamp - this.#engine.wall()) <= FRESHNESS;
  }

  /**
   * Our record, signed and sealed: everybody is told the same one until it is written anew. So nobody holds one that is later than
   * what a relay has, and a next run, which may know nothing but that, dates its own after all of them.
   * @returns {Promise<Uint8Array>}
   */
  sealed() {
    const engine = this.#engine;
    if (this.#sealed && engine.now() <= this.announceAt && !engine.isLeaving) return this.#sealed;
    this.#sealed = this.#seal(engine.isLeaving);
    if (!engine.isLeaving) this.#sealFarewell().catch((error) => engine.warn(error.message));
    return this.#sealed;
  }

  #seal(isLeaving) {
    const engine = this.#engine;
    this.#lastTimestamp = Math.max(this.#lastTimestamp + 1, Math.floor(engine.wall()));
    const record = {
      peer: engine.peerID, sessionKey: engine.sessionKey.point, timestamp: this.#lastTimestamp, isLeaving, name: engine.name,
      knowsLanes: true, keepsState: engine.keepsState, takesLaneMail: true,
    };
    return sealPresence(record, engine.identity, engine.topic);
  }

  /** Writes our record anew, and asks again for what we follow. */
  async announce() {
    this.announceAt = this.#engine.now() + INTERVAL * (0.8 + Math.random() / 5);
    this.#sealed = null;
    await this.#followDays();
    await this.#engine.mail.follow();
    const today = this.#days.get(dayOf(this.#engine.wall()));
    if (today) for (const soul of [today.inbox, today.presence]) this.#engine.gun.refresh(soul);
    await this.publish();
  }

  async publish() {
    const { gun, topic, mesh, isLeaving } = this.#engine;
    const [record, tag, soul] = await Promise.all([this.sealed(), this.tag(), topic.presenceSoul(dayOf(this.#engine.wall()))]);
    gun.put(soul, [[tag, base64url(record)]], this.#states.next(this.#engine.wall() - STATE_LAG), { isDurable: true });
    if (isLeaving) return;
    mesh.tellPresence(record);
  }

  async #sealFarewell() {
    const { topic } = this.#engine;
    const sealing = this.#seal(true);
    const [soul, tag, record] = await Promise.all([topic.presenceSoul(dayOf(this.#engine.wall())), this.tag(), sealing]);
    this.#farewell = { soul, tag, text: base64url(record) };
  }

  /** Says at once that this member leaves, to whomever the relays reach. */
  sayBye() {
    if (!this.#farewell) return;
    const { soul, tag, text } = this.#farewell;
    this.#engine.gun.put(soul, [[tag, text]], this.#states.next(this.#engine.wall() - STATE_LAG));
  }

  async #followDays() {
    const { gun, topic, peerID } = this.#engine;
    const wall = this.#engine.wall();
    const days = new Set([-MARGIN, 0, MARGIN].map((offset) => dayOf(wall + offset)));
    for (const day of days) {
      if (this.#days.has(day)) continue;
      const souls = { presence: await topic.presenceSoul(day), inbox: await topic.inboxSoul(peerID, day) };
      this.#days.set(day, souls);
      for (const soul of Object.values(souls)) gun.subscribe(soul, { isFleeting: true });
    }
    for (const [day, souls] of this.#days) {
      if (days.has(day)) continue;
      this.#days.delete(day);
      for (const soul of Object.values(souls)) gun.unsubscribe(soul);
    }
  }

  /** @param {string} characters base64url, from a presence soul */
  takeText(characters) {
    return this.take(fromBase64url(characters), "gun");
  }

  /**
   * Takes a record that a plane brought.
   * @param {Uint8Array} sealed @param {"gun" | "tracker" | "mesh"} plane
   * @returns {Promise<import("./member.js").Member | null>} the member it tells of
   */
  async take(sealed, plane) {
    const engine = this.#engine;
    const record = await openPresence(sealed, engine.topic);
    if (record.peer === engine.peerID) {
      this.#takeOwn(record);
      return null;
    }
    if (!this.isFresh(record.timestamp)) throw new Refusal("stale");
    const known = engine.members.get(record.peer);
    const isSameRun = known?.presence && compare(known.presence.sessionKey, record.sessionKey) === 0;
    if (known?.presence && known.presence.timestamp > record.timestamp) {
      // An older record of a run we know says nothing new; one of another run is a replay.
      if (isSameRun) return known;
      await this.#show(known);
      throw new Refusal("replayed");
    }
    if (record.isLeaving) {
      // The record is kept: what the run said before cannot be replayed.
      if (known?.presence && !known.presence.isLeaving) {
        known.presence = record;
        known.sealedPresence = sealed;
        engine.runs.left(known);
      }
      return null;
    }
    // Derived before anything changes: other events come in between.
    const cipher = isSameRun ? null : await this.#cipher(record);
    const member = engine.member(record.peer);
    if (!member) return null;
    const isFirstRun = member.presence === null;
    member.presence = record;
    member.sealedPresence = sealed;
    member.heardOfAt = engine.now();
    if (cipher) {
      member.isDormant = false;
      member.refusal = engine.admission.refusal(record);
      engine.runs.start(member, cipher, isFirstRun);
    } else {
      engine.runs.wake(member);
    }
    if (member.refusal) {
      engine.admission.sayRefused(member);
      return null;
    }
    if (!member.planes.has(plane)) {
      member.planes.add(plane);
      engine.emit({ type: "discovered", peer: member.peer, plane });
    }
    return member;
  }

  /**
   * Shows a member whose record was refused, as it is older than that of a former run, the later one: its clock was set back between
   * the two, and it dates its next record after what it is shown.
   */
  async #show(member) {
    const engine = this.#engine;
    if (member.refusal || engine.now() < member.shownAt + SHOWING_PAUSE) return;
    if (!engine.carriesSignals(member) || !this.isFresh(member.presence.timestamp)) return;
    member.shownAt = engine.now();
    await engine.relayPath.show(member, member.sealedPresence);
  }

  #cipher(record) {
    const { sessionKey, peerID, topic, identity } = this.#engine;
    const now = this.#engine.now();
    // A nanosecond for each packet: never used up, and never used before.
    const firstCounter = BigInt(Math.ceil(now * 1e6));
    const parties = new SessionParties(peerID, record.peer, topic);
    return SessionCipher.of({ own: sessionKey, peerKey: record.sessionKey, parties, identity, firstCounter, now });
  }
}
