// Mail: what waits for a member that is away is also left for it in the graph, sealed to its prekeys, and it gets it when it
// returns, though the sender may be gone by then (docs/protocol.md, "Mail").

import { base64url, compare, fromBase64url, join, Refusal } from "../base/bytes.js";
import { StateClock } from "../gun/graph.js";
import { peerBytes, verifies } from "../sealing/keys.js";
import { openItem, prekeyOf, prekeysSigned, sealItem } from "../sealing/mail.js";
import { parsePacket, prekeysBody } from "../session/frame.js";
import { PLAIN } from "../session/lane.js";
import {
  acknowledgementPacket, framesOfMail, hasMail, isDurable, leftAsMail, mailPacket, supersededStreams, takesMail,
} from "../session/mail.js";
import { SESSION } from "../session/session.js";
import { STATE_LAG } from "./member.js";
import { HeldPrekeys, MAIL_LIFETIME, ONE_TIME, OwnPrekeys } from "./prekeys.js";

const WEEK = 7 * 86_400_000;
/** How long no session must have been up before mail is left, and how long it waits for what follows. */
const ABSENCE = 3_000;
const GATHERING = 200;
const ACKNOWLEDGEMENT_DELAY = 1_000;
const STOCK_INTERVAL = 10_000;
const GIVE_INTERVAL = 5_000;
const LARGEST_BACKLOG = 16 << 20;
const MOST_WAITING = 65_536;
/** How many members keep the mail of one, and of how many it is thought. */
const KEEPERS = 3;
const MOST_RECIPIENTS = 128;
const MOST_STREAMS = 64;

const weekOf = (wall) => Math.floor(wall / WEEK);
const itemKey = (tag, number) => `${tag}/${String(number).padStart(8, "0")}`;

/** What mail is about with one other member. */
export class MemberMail {
  /** Since when no session is up; `null` while one is. @type {number | null} */
  absentSince;
  /** When what there is to say is left. */
  dueAt = Infinity;
  isLeaving = false;
  /** It takes mail of every lane, with deadlines: so said its last record. */
  takesLanes = false;
  /** Where what was left ends in what we have to say. @type {import("../session/mail.js").MailCursors} */
  cursors = new Map();
  /** The same for what a relay has acknowledged: what a later run may rely on. @type {import("../session/mail.js").MailCursors} */
  storedTo = new Map();
  /** The lanes of which it is told that we know the outcomes it has told us. @type {Set<number>} */
  confirming = new Set();
  /** The week that numbers count in, and the next of them. */
  week = 0;
  nextNumber = 0;
  leftBytes = 0;
  /** What comes next is beyond what may be left until a session is up. */
  isFull = false;
  /** The items that no relay has acknowledged, in order. */
  underWay = [];
  held = new HeldPrekeys();
  stockAt = Infinity;
  gaveStock = false;
  gaveAt = -Infinity;
  /** Items that were taken, until what they held is noted for good. */
  unsettled = [];
  acknowledgeAt = Infinity;
  /** When the streams that come from the member were first heard of, by its clock. @type {Map<bigint, number>} */
  since = new Map();

  /** @param {number} now */
  constructor(now) {
    this.absentSince = now;
  }
}

export class Mail {
  #engine;
  #own;
  #clock = new StateClock();
  /** Our own souls, by week. @type {Map<number, string>} */
  #souls = new Map();
  /** Souls of others that we keep. @type {Set<string>} */
  #kept = new Set();
  #ranks = new Map();
  /** Items that have come, by soul and tag. @type {Map<string, {soul: string, tag: string, numbers: Set<number>}>} */
  #waiting = new Map();
  #waitingCount = 0;
  #acknowledgements = [];

  /** @param {import("./engine.js").Engine} engine @param {Map<string, unknown>} records what an earlier run kept */
  constructor(engine, records) {
    this.#engine = engine;
    const of = (kind) => new Map([...records].filter(([name]) => name.startsWith(`${kind}/`)).map(([name, value]) => [name.slice(kind.length + 1), value]));
    this.#own = new OwnPrekeys(engine.keeping, of("prekey"));
    for (const [peer, record] of of("held")) this.#with(peer, (mail) => (mail.held = new HeldPrekeys(record)));
    for (const [peer, record] of of("mailed")) this.#with(peer, (mail) => takeUp(mail, record));
    for (const [peer, record] of of("since")) this.#with(peer, (mail) => (mail.since = new Map(record)));
  }

  #with(peer, body) {
    const member = peer === this.#engine.peerID ? null : this.#engine.member(peer);
    if (member) body(member.mail);
  }

  /** It goes where messages may go beside direct connections. */
  get #isUsed() {
    const { paths, isLeaving } = this.#engine;
    return (paths.has("relay") || paths.has("mesh")) && !isLeaving;
  }

  // What is due.

  nextTimeout({ session, mail }) {
    if (!this.#isUsed) return Infinity;
    if (session.isUp) return mail.absentSince === null ? mail.stockAt : 0;
    return mail.absentSince === null ? 0 : Math.min(mail.dueAt, mail.acknowledgeAt);
  }

  /** Does what is due between us and a member. */
  run(member) {
    if (!this.#isUsed) return;
    const { mail, session } = member;
    const now = this.#engine.now();
    if (session.isUp) {
      if (mail.absentSince !== null) {
        Object.assign(mail, { absentSince: null, dueAt: Infinity, acknowledgeAt: Infinity, leftBytes: 0, isFull: false, underWay: [], stockAt: now });
        mail.confirming.clear();
      }
      return this.#sayStock(member, now);
    }
    if (mail.absentSince === null) Object.assign(mail, { absentSince: now, gaveStock: false });
    if (now >= mail.acknowledgeAt) this.#leaveAcknowledgement(member);
    mail.dueAt = this.#leavingAt(member, now);
    if (now >= mail.dueAt) this.#leave(member);
  }

  /** Follows our souls of this week and the last, and those whose keeper we are. */
  async follow() {
    if (!this.#isUsed) return;
    const { gun, topic, peerID } = this.#engine;
    const week = weekOf(this.#engine.wall());
    for (const each of [week - 1, week]) {
      if (this.#souls.has(each)) continue;
      const soul = await topic.mailSoul(peerID, each);
      this.#souls.set(each, soul);
      gun.subscribe(soul, { isShared: true });
      for (const [key, value] of gun.node(soul)) this.note(soul, key, value);
    }
    for (const [each, soul] of this.#souls) {
      if (each >= week - 1) continue;
      this.#souls.delete(each);
      gun.unsubscribe(soul);
    }
    if (this.#engine.keepsState) await this.#keepForOthers(week);
  }

  // Leaving.

  /** When what there is to say is to be left, if it can be. */
  #leavingAt(member, now) {
    const { mail, session, blocked } = member;
    if (mail.isLeaving || mail.held.isEmpty || !this.#engine.admission.isWelcome(member) || blocked.has("relay") || mail.isFull) return Infinity;
    if (!hasMail(session.lanes, mail.cursors, mail.takesLanes) || !this.#engine.gun.isConnected) return Infinity;
    return Math.max(mail.absentSince + ABSENCE, mail.dueAt === Infinity ? now + GATHERING : mail.dueAt);
  }

  #leave(member) {
    const { mail } = member;
    mail.dueAt = Infinity;
    mail.isLeaving = true;
    const leaving = this.#leaveAll(member).catch((error) => this.#engine.refuse(error));
    leaving.finally(() => ((mail.isLeaving = false), this.#engine.poke()));
  }

  async #leaveAll(member) {
    const engine = this.#engine;
    const { mail, peer, session } = member;
    const week = weekOf(engine.wall());
    if (mail.week !== week) Object.assign(mail, { week, nextNumber: 0 });
    const [soul, tag] = [await engine.topic.mailSoul(peer, week), await engine.presence.tag()];
    const wall = (moment) => engine.wall() + (moment - engine.now());
    while (mail.absentSince !== null) {
      const made = mailPacket(session.lanes, mail.cursors, SESSION.largestPacket, mail.takesLanes, wall);
      mail.isFull = made !== null && mail.leftBytes + made.packet.length > LARGEST_BACKLOG;
      if (mail.isFull) break;
      const prekey = made && mail.held.take(engine.wall());
      if (!prekey) break;
      const { packet, end, messages } = made;
      const number = mail.nextNumber;
      mail.nextNumber += 1;
      mail.leftBytes += packet.length;
      const item = await sealItem({ sender: engine.peerID, recipient: peer, timestamp: engine.wall(), packet }, engine.identity, prekey, engine.topic);
      // A number or a key that is used twice would lose what was left under it first: so that is kept before.
      this.#keepMailed(member);
      engine.keeping.set(`held/${peer}`, mail.held.record);
      await new Promise((done) => engine.keeping.afterwards(done));
      if (mail.absentSince === null) break;
      const key = itemKey(tag, number);
      mail.underWay.push({ soul, key, messages, end, isStored: false });
      mail.cursors = end;
      leftAsMail(session.lanes, end);
      this.#put(soul, key, item);
    }
  }

  #put(soul, key, item) {
    const { gun } = this.#engine;
    gun.put(soul, [[key, base64url(item)]], this.#clock.next(this.#engine.wall() - STATE_LAG), { isDurable: true, isShared: true });
  }

  /** What no relay has acknowledged a later run leaves again, under other numbers. */
  #keepMailed({ peer, mail: { storedTo, week, nextNumber } }) {
    this.#engine.keeping.set(`mailed/${peer}`, { cursors: storedTo, week, nextNumber });
  }

  /** A relay has a put: the messages of which it has everything are stored. */
  stored(soul, key) {
    for (const member of this.#engine.members.values()) {
      const item = member.mail.underWay.find((each) => each.soul === soul && each.key === key);
      if (!item) continue;
      item.isStored = true;
      while (member.mail.underWay[0]?.isStored) {
        const { messages, end } = member.mail.underWay.shift();
        member.mail.storedTo = end;
        for (const sequence of messages) this.#engine.emit({ type: "stored", to: member.peer, sequence });
      }
      this.#keepMailed(member);
      return;
    }
  }

  /** Tells a sender that is away how far its mail has come, and that we know what became of ours. */
  #leaveAcknowledgement(member) {
    const engine = this.#engine;
    const { mail, session, peer } = member;
    mail.acknowledgeAt = Infinity;
    const prekey = mail.held.reusable(engine.wall());
    const packet = acknowledgementPacket(session.lanes, mail.confirming, SESSION.largestPacket, mail.takesLanes);
    mail.confirming.clear();
    if (!prekey || !packet || !engine.gun.isConnected) return;
    engine.inTurn(member, async () => {
      const [soul, tag] = [await engine.topic.mailSoul(peer, weekOf(engine.wall())), await engine.presence.tag()];
      this.#put(soul, `${tag}/ack`, await sealItem({ sender: engine.peerID, recipient: peer, timestamp: engine.wall(), packet }, engine.identity, prekey, engine.topic));
    });
  }

  // Reading.

  /** Whether a soul is one of our own mail. */
  isMail(soul) {
    for (const each of this.#souls.values()) if (each === soul) return true;
    return false;
  }

  /** Something is in one of our souls. */
  note(soul, key, value) {
    const [, tag, name] = /^([^/]{1,64})\/(\d{8}|ack)$/.exec(key) ?? [];
    if (!tag || typeof value !== "string") return;
    if (name === "ack") {
      if (this.#acknowledgements.length < MOST_WAITING) this.#acknowledgements.push({ soul, key });
    } else if (this.#waitingCount < MOST_WAITING) {
      const source = `${soul} ${tag}`;
      if (!this.#waiting.has(source)) this.#waiting.set(source, { soul, tag, numbers: new Set() });
      const { numbers } = this.#waiting.get(source);
      if (!numbers.has(Number(name))) this.#waitingCount += 1;
      numbers.add(Number(name));
    }
    this.read();
  }

  /** Takes what can be taken. */
  read() {
    this.#engine.queue(async () => {
      for (let each; (each = this.#acknowledgements.shift()); ) await this.#readAcknowledgement(each);
      if (this.#engine.conversations.isPaused) return;
      for (const [source, { soul, tag, numbers }] of this.#waiting) {
        for (const number of [...numbers].sort((a, b) => a - b)) {
          if (!(await this.#readItem(soul, itemKey(tag, number)))) break;
          numbers.delete(number);
          this.#waitingCount -= 1;
        }
        if (!numbers.size) this.#waiting.delete(source);
      }
    });
  }

  /** @returns {Promise<boolean>} whether it is done with, so that the next may be taken */
  async #readItem(soul, key) {
    const engine = this.#engine;
    const entry = engine.gun.entry(soul, key);
    if (typeof entry?.value !== "string") return true;
    try {
      const sealed = fromBase64url(entry.value);
      const item = await this.#open(sealed);
      const member = engine.member(item.sender);
      if (!member) return false;
      const frames = framesOfMail(parsePacket(item.packet), engine.wall());
      const { lanes } = member.session;
      for (const stream of supersededStreams(lanes, frames)) {
        // What was sent before the sender began anew is void: it would come after what follows it.
        if (item.timestamp <= (member.mail.since.get(stream) ?? -Infinity)) throw new Refusal("replayed");
      }
      if (!takesMail(lanes, frames)) return false;
      const parts = frames.map((frame) => (frame.type === "data" ? { ...frame, payload: null } : frame));
      member.mail.unsettled.push({ soul, key, state: entry.state, prekey: prekeyOf(sealed), frames: parts });
      for (const { stream } of frames.filter(({ type }) => type === "data")) this.noteStream(member, stream, item.timestamp);
      this.#confirm(frames, member);
      member.session.receiveMail(frames, engine.now());
      engine.pump(member);
      this.settle(member);
    } catch (error) {
      engine.refuse(error);
      this.#clear(soul, key, entry.state);
    }
    return true;
  }

  async #readAcknowledgement({ soul, key }) {
    const entry = this.#engine.gun.entry(soul, key);
    if (typeof entry?.value !== "string") return;
    try {
      const item = await this.#open(fromBase64url(entry.value));
      const member = this.#engine.members.get(item.sender);
      const frames = framesOfMail(parsePacket(item.packet), this.#engine.wall()).filter(({ type }) => type !== "data");
      if (member) {
        this.#confirm(frames, member);
        member.session.receiveMail(frames, this.#engine.now());
        this.#engine.pump(member);
      }
    } catch (error) {
      this.#engine.refuse(error);
    }
    this.#clear(soul, key, entry.state);
  }

  /** Outcomes that it has told us, a member is told that we know, by mail if it is away: it repeats them until then. */
  #confirm(frames, { mail, session }) {
    for (const frame of frames) {
      if (frame.type !== "acknowledgement" || !frame.outcomes.length) continue;
      mail.confirming.add(frame.lane);
      if (!session.isUp) mail.acknowledgeAt = this.#engine.now() + ACKNOWLEDGEMENT_DELAY;
    }
  }

  async #open(sealed) {
    const { topic, peerID } = this.#engine;
    const own = this.#own.key(prekeyOf(sealed));
    if (!own) throw new Refusal("notForUs");
    const item = await openItem(sealed, own, topic);
    if (item.recipient !== peerID || item.sender === peerID) throw new Refusal("notForUs");
    const age = this.#engine.wall() - item.timestamp;
    if (age > MAIL_LIFETIME || age < -120_000) throw new Refusal("stale");
    return item;
  }

  /** Sets an item to `null`, in place of the one that we have read and no other. */
  #clear(soul, key, state) {
    this.#engine.gun.put(soul, [[key, null]], state + 0.001, { isDurable: true, isShared: true });
  }

  /** Notes when a stream was first heard of, by its writer's clock. */
  noteStream({ peer, mail }, stream, time) {
    if (mail.since.has(stream)) return;
    mail.since.set(stream, time);
    if (mail.since.size > MOST_STREAMS) mail.since.delete([...mail.since].sort(([, a], [, b]) => a - b)[0][0]);
    this.#engine.keeping.set(`since/${peer}`, [...mail.since]);
  }

  /** What has been noted for good is removed, and the keys that opened it are destroyed. */
  settle(member) {
    const { mail, session } = member;
    mail.unsettled = mail.unsettled.filter(({ soul, key, state, prekey, frames }) => {
      if (!isDurable(session.lanes, frames)) return true;
      this.#own.used(prekey);
      this.#clear(soul, key, state);
      if (!session.isUp) mail.acknowledgeAt = this.#engine.now() + ACKNOWLEDGEMENT_DELAY;
      return false;
    });
    this.#engine.poke();
  }

  // Prekeys.

  /** Says how many keys of a member we hold, while it has to give some. */
  #sayStock({ mail, session, presence }, now) {
    if (now < mail.stockAt) return;
    mail.stockAt = Infinity;
    if (!presence?.keepsState) return void (mail.gaveStock = true);
    const { held } = mail;
    const isEnough = held.oneTime.length * 2 >= ONE_TIME && held.expiry > this.#engine.wall() + 86_400_000;
    // When a session comes up it is said in any case: the owner may have lost the private halves.
    if (isEnough && mail.gaveStock) return;
    mail.gaveStock = true;
    if (!isEnough) mail.stockAt = now + STOCK_INTERVAL;
    session.say({ type: "stock", lastResort: held.lastResort?.id ?? 0, oneTime: held.oneTime.length });
  }

  /** Takes what a member's packet says of prekeys. */
  takePrekeys(frames, member) {
    if (!this.#isUsed) return;
    for (const frame of frames) {
      if (frame.type === "stock") this.#engine.queue(() => this.#give(frame, member));
      if (frame.type === "prekeys") this.#engine.queue(() => this.#takeBundle(frame, member));
    }
  }

  async #takeBundle(frame, member) {
    const { topic, peerID, keeping } = this.#engine;
    const signed = prekeysSigned(member.peer, peerID, prekeysBody(frame), topic);
    if (!(await verifies(member.peer, frame.signature, signed))) throw new Refusal("forged");
    member.mail.held.add(frame);
    keeping.set(`held/${member.peer}`, member.mail.held.record);
    member.mail.stockAt = this.#engine.now();
  }

  async #give(stock, member) {
    const engine = this.#engine;
    const now = engine.now();
    if (!engine.keepsState || now - member.mail.gaveAt < GIVE_INTERVAL) return;
    const bundle = await this.#own.bundle(stock, engine.wall());
    if (!bundle) return;
    member.mail.gaveAt = now;
    const signature = await engine.identity.sign(prekeysSigned(engine.peerID, member.peer, prekeysBody(bundle), engine.topic));
    // Mail that is sealed to a key whose private half is lost would be lost too.
    engine.keeping.afterwards(() => {
      member.session.say({ ...bundle, signature });
      engine.pump(member);
    });
  }

  // Keeping that of others.

  async #keepForOthers(week) {
    const { members, gun, topic } = this.#engine;
    const present = [...members.values()].filter(({ session, presence }) => session.isUp && presence?.keepsState).map(({ peer }) => peer);
    const wanted = new Set();
    for (const recipient of [...members.keys()].sort().slice(0, MOST_RECIPIENTS)) {
      if (!(await this.#isKeeper(recipient, present))) continue;
      for (const each of [week - 1, week]) wanted.add(await topic.mailSoul(recipient, each));
    }
    for (const soul of wanted) if (!this.#kept.has(soul)) gun.subscribe(soul, { isShared: true });
    for (const soul of this.#kept) if (!wanted.has(soul)) gun.unsubscribe(soul);
    this.#kept = wanted;
  }

  async #isKeeper(recipient, present) {
    const own = await this.#rank(this.#engine.peerID, recipient);
    let better = 0;
    for (const peer of present) if (peer !== recipient && compare(await this.#rank(peer, recipient), own) < 0) better += 1;
    return better < KEEPERS;
  }

  async #rank(keeper, recipient) {
    const pair = `${keeper} ${recipient}`;
    if (!this.#ranks.has(pair)) {
      if (this.#ranks.size >= MOST_WAITING) this.#ranks.clear();
      this.#ranks.set(pair, new Uint8Array(await crypto.subtle.digest("SHA-256", join(peerBytes(keeper), peerBytes(recipient)))));
    }
    return this.#ranks.get(pair);
  }
}

/** Takes up what an earlier run left; one that knew the first lane only has one cursor. */
function takeUp(mail, { cursors, cursor, week, nextNumber }) {
  const storedTo = cursors ?? new Map(cursor ? [[PLAIN, cursor]] : []);
  Object.assign(mail, { storedTo, cursors: new Map(storedTo), week, nextNumber });
}
