// What a session knows of one path: whether it is there, how long a round trip takes, what is under way on it. Times are
// milliseconds of a clock that never steps.

/**
 * The highest number of one lane or byte stream in a packet that is under way; a packet holds parts of some.
 * @typedef {{lane: number, stream: bigint, highest: number} | {lane: null, stream: bigint, highest: number}} FlightPart
 * @typedef {FlightPart[]} Flight
 */

const FIRST_PATIENCE = 300;
const LONGEST_PATIENCE = 10_000;
/** A path that held for this long is as good as new. */
const STEADY = 10_000;
const LEAST_RELUCTANCE = 1_000;
const MOST_RELUCTANCE = 16_000;

export class PathState {
  isOpen = false;
  /** @type {number | null} */
  smoothedRTT = null;
  /** @type {number | null} */
  lastHeard = null;
  /** @type {number | null} */
  lastPing = null;
  /** How many pings in a row brought nothing back. */
  unansweredPings = 0;
  /** An answer is owed for too long: messages go another way, if there is one. */
  isSuspect = false;
  /** When messages may come back to a path that answers again. */
  trustedFrom = -Infinity;
  #trustedAt = -Infinity;
  /** How long they stay away: nothing the first time, ever longer when it falls silent again and again. */
  #reluctance = 0;
  /** Since when an answer is owed on this path and nothing has come. @type {number | null} */
  #awaitingSince = null;
  /** Since when what is under way has made no progress. @type {number | null} */
  #unmovedSince = null;
  #backoff = 0;
  #ping = null;
  /** Packets with data that are under way. @type {{flight: Flight, sentAt: number}[]} */
  #inFlight = [];

  static opened() {
    const state = new PathState();
    state.isOpen = true;
    return state;
  }

  get packetsInFlight() {
    return this.#inFlight.length;
  }

  /** max(3 × RTT, 300 ms), doubled with each repetition. */
  get patience() {
    const base = Math.max(FIRST_PATIENCE, 3 * (this.smoothedRTT ?? FIRST_PATIENCE));
    return Math.min(base * 2 ** Math.min(this.#backoff, 5), LONGEST_PATIENCE);
  }

  /** When the path falls under suspicion, if nothing at all comes. */
  get suspicionAt() {
    return this.#awaitingSince === null ? Infinity : this.#awaitingSince + this.patience;
  }

  /** When what is under way counts as lost. */
  get retransmissionAt() {
    return this.#unmovedSince === null ? Infinity : this.#unmovedSince + this.patience;
  }

  /** Nothing came in time. */
  doubt(now) {
    if (this.isSuspect) return;
    this.isSuspect = true;
    const fellAgain = now - this.#trustedAt < STEADY + this.#reluctance;
    this.#reluctance = fellAgain ? Math.min(Math.max(this.#reluctance * 2, LEAST_RELUCTANCE), MOST_RELUCTANCE) : 0;
  }

  /** It answers. */
  trust(now) {
    if (!this.isSuspect) return;
    this.isSuspect = false;
    this.#trustedAt = now;
    this.trustedFrom = now + this.#reluctance;
  }

  /** Whether messages may go this way. */
  isTrusted(now) {
    return this.isOpen && !this.isSuspect && now >= this.trustedFrom;
  }

  heard(now) {
    this.lastHeard = now;
    // What was on its way when the path broke is no answer to what is under way.
    this.#awaitingSince = this.#inFlight.length ? now : null;
    this.unansweredPings = 0;
  }

  /** @param {Flight} flight @param {number} now */
  sentData(flight, now) {
    this.#inFlight.push({ flight, sentAt: now });
    this.#awaitingSince ??= now;
    this.#unmovedSince ??= now;
  }

  sentPing(id, now) {
    if (this.#ping) this.unansweredPings += 1;
    this.#ping = { id, now };
    this.lastPing = now;
    this.#awaitingSince ??= now;
  }

  /** @returns {boolean} whether this answers our last ping on this path */
  pong(id, now) {
    if (this.#ping?.id !== id) return false;
    this.#measure(now - this.#ping.now);
    this.#ping = null;
    return true;
  }

  /** RFC 6298 §2. */
  #measure(sample) {
    this.smoothedRTT = this.smoothedRTT === null ? sample : (this.smoothedRTT * 7 + sample) / 8;
  }

  /**
   * Something of ours has come: packets that have been under way for longest, and hold nothing that the member lacks, are no
   * longer.
   * @param {(part: FlightPart) => boolean} has @param {boolean} isMeasured the acknowledgement came by this path
   */
  arrived(has, isMeasured, now) {
    let count = 0;
    while (count < this.#inFlight.length && this.#inFlight[count].flight.every(has)) count += 1;
    if (!count) return;
    const { sentAt } = this.#inFlight[count - 1];
    this.#inFlight.splice(0, count);
    // What was sent twice may be acknowledged by the first copy (RFC 6298 §3).
    if (isMeasured && !this.#backoff) this.#measure(now - sentAt);
    this.#backoff = 0;
    this.#unmovedSince = this.#awaitingSince = this.#inFlight.length ? now : null;
  }

  /** What is under way is given up: it goes out again. */
  sendAgain() {
    this.#inFlight = [];
    this.#awaitingSince = this.#unmovedSince = null;
    this.#backoff += 1;
  }

  /** Time passed in which this page did not run: what was owed meanwhile proves nothing. @param {number} now */
  slept(now) {
    if (this.#awaitingSince !== null) this.#awaitingSince = now;
    if (this.#unmovedSince !== null) this.#unmovedSince = now;
  }
}
