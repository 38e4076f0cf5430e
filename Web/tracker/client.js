// The WebTorrent tracker protocol, client's half, for one tracker and one swarm.
//
// An announce with offers as soon as the socket is open; while nothing comes of it a few early repeats; then the
// tracker's interval. A new `peer_id` for every socket.

import { join, latin1, randomBytes, utf8 } from "../base/bytes.js";

/** Bounds; times in milliseconds. */
const LIMITS = Object.freeze({
  offers: 4,
  offersWhenAlone: 2,
  openOffers: 8,
  offerLifetime: 60_000,
  offerPatience: 3_000,
  interval: 30_000,
  shortestInterval: 15_000,
  longestInterval: 300_000,
  earlyRepeats: [15_000, 30_000, 60_000],
  spacing: 10_000,
  messageCharacters: 1 << 16,
  receivedOffersBurst: 60,
});

export class TrackerClient {
  #link;
  #now;
  #owner;
  #infoHash;
  #peerID = "";
  #isStarted = false;
  #announceAt = Infinity;
  #lastAnnounce = null;
  #isAnnouncing = false;
  #interval = LIMITS.interval;
  #population = null;
  #hasExchanged = false;
  #repeats = 0;
  /** When each offer of ours was sent. @type {Map<string, number>} */
  #offers = new Map();
  #received = { tokens: LIMITS.receivedOffersBurst, at: 0 };
  announces = 0;

  /**
   * @param {import("../base/link.js").Link} link
   * @param {Uint8Array} infoHash
   * @param {object} owner
   * @param {(count: number) => Promise<string[]>} owner.offers makes so many offers
   * @param {(sdp: string, answer: (sdp: string) => void) => void} owner.offered a peer offers a connection
   * @param {(sdp: string) => void} owner.answered the first answer to an offer of ours
   * @param {() => void} owner.changed `nextTimeout` is another now
   * @param {() => number} now
   */
  constructor(link, infoHash, owner, now) {
    this.#link = link;
    this.#infoHash = latin1(infoHash);
    this.#owner = owner;
    this.#now = now;
  }

  opened() {
    this.#peerID = latin1(join(utf8("-SS0100-"), randomBytes(12)));
    this.#isStarted = this.#hasExchanged = false;
    this.#repeats = 0;
    this.#population = null;
    this.#announceAt = this.#now();
    this.handleTimeout();
  }

  closed() {
    this.#offers.clear();
    this.#announceAt = Infinity;
  }

  /** A connection is wanted that nothing else can bring about. */
  announceSoon() {
    const earliest = this.#lastAnnounce === null ? this.#now() : Math.max(this.#now(), this.#lastAnnounce + LIMITS.spacing);
    this.#announceAt = Math.min(this.#announceAt, earliest);
    this.#owner.changed();
  }

  /** Takes its leave of the tracker. */
  stop() {
    if (this.#isStarted) this.#send({ event: "stopped", numwant: 0, uploaded: 0, downloaded: 0, left: 1 });
    this.#announceAt = Infinity;
  }

  get nextTimeout() {
    return this.#link.isOpen && !this.#isAnnouncing ? this.#announceAt : Infinity;
  }

  handleTimeout() {
    if (this.#now() >= this.nextTimeout) this.#announce();
  }

  async #announce() {
    this.#isAnnouncing = true;
    const now = this.#now();
    for (const [id, at] of this.#offers) if (now - at > LIMITS.offerLifetime) this.#offers.delete(id);
    const useful = this.#population === null ? Infinity : Math.max(this.#population, LIMITS.offersWhenAlone);
    const count = Math.min(LIMITS.offers, LIMITS.openOffers - this.#offers.size, useful);
    const patience = new Promise((done) => setTimeout(() => done([]), LIMITS.offerPatience));
    const made = await Promise.race([this.#owner.offers(count).catch(() => []), patience]);
    this.#isAnnouncing = false;
    if (!this.#link.isOpen) return;
    const offers = made.map((sdp) => ({ offer_id: latin1(randomBytes(20)), offer: { type: "offer", sdp } }));
    for (const { offer_id } of offers) this.#offers.set(offer_id, this.#now());
    const event = this.#isStarted ? {} : { event: "started" };
    this.#send({ numwant: offers.length, uploaded: 0, downloaded: 0, left: 1, ...event, offers });
    this.announces += 1;
    if (this.#isStarted) this.#repeats += 1;
    this.#isStarted = true;
    this.#lastAnnounce = this.#now();
    this.#schedule();
  }

  #schedule() {
    if (this.#lastAnnounce === null || this.#isAnnouncing) return;
    let delay = this.#interval * (0.9 + Math.random() / 10);
    const isAlone = this.#population !== null && this.#population <= 1;
    const repeats = isAlone ? LIMITS.earlyRepeats.slice(0, 1) : LIMITS.earlyRepeats;
    if (!this.#hasExchanged && this.#repeats < repeats.length) delay = Math.min(delay, repeats[this.#repeats]);
    this.#announceAt = this.#lastAnnounce + delay;
    this.#owner.changed();
  }

  #send(members) {
    this.#link.send(JSON.stringify({ action: "announce", info_hash: this.#infoHash, peer_id: this.#peerID, ...members }));
  }

  /** @param {string} frame */
  receive(frame) {
    if (frame.length > LIMITS.messageCharacters) return;
    let message;
    try {
      message = JSON.parse(frame);
    } catch {
      return;
    }
    if (message?.action !== "announce" || message.info_hash !== this.#infoHash) return;
    const { offer, answer, peer_id: peer, offer_id: id } = message;
    if (typeof offer?.sdp === "string" && typeof peer === "string" && typeof id === "string") {
      if (peer !== this.#peerID && this.#mayTake()) this.#exchange(() => this.#owner.offered(offer.sdp, this.#answerTo(peer, id)));
    } else if (typeof answer?.sdp === "string") {
      if (peer !== this.#peerID && this.#offers.delete(id)) this.#exchange(() => this.#owner.answered(answer.sdp));
    } else if (typeof message.interval === "number") {
      const interval = message.interval * 1_000;
      this.#interval = Math.min(Math.max(interval, LIMITS.shortestInterval), LIMITS.longestInterval);
      this.#population = (Number(message.complete) || 0) + (Number(message.incomplete) || 0);
      this.#schedule();
    }
  }

  #exchange(body) {
    body();
    if (this.#hasExchanged) return;
    this.#hasExchanged = true;
    this.#schedule();
  }

  #answerTo(peer, id) {
    return (sdp) => this.#send({ to_peer_id: peer, offer_id: id, answer: { type: "answer", sdp } });
  }

  /** Anybody may send any number of offers: one a second is taken in the long run. */
  #mayTake() {
    const now = this.#now();
    const tokens = this.#received.tokens + (now - this.#received.at) / 1_000;
    this.#received = { tokens: Math.min(LIMITS.receivedOffersBurst, tokens), at: now };
    if (this.#received.tokens < 1) return false;
    this.#received.tokens -= 1;
    return true;
  }
}
