// What a session knows of one path: whether it is there, how long a round trip takes, what is under way on it. Times are
// milliseconds of a clock that never steps.

const FIRST_PATIENCE = 300;
const LONGEST_PATIENCE = 10_000;
/** A path that held for this long is as good as new. */
const STEADY = 10_000;
const LEAST_RELUCTANCE = 1_000;
const MOST_RELUCTANCE = 16_000;

export class PathState {
  isOpen = false;
  /** The next fragment to be sent on this path. */
  cursor = 1;
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
  /** Packets with data that are under way: the highest sequence number in each. @type {number[]} */
  #inFlight = [];

  /** @param {number} cursor where to send from */
  static opened(cursor) {
    const state = new PathState();
    state.isOpen = true;
    state.cursor = cursor;
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

  sentData(highest, now) {
    this.#inFlight.push(highest);
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
    const sample = now - this.#ping.now;
    this.#ping = null;
    this.smoothedRTT = this.smoothedRTT === null ? sample : (this.smoothedRTT * 7 + sample) / 8; // RFC 6298 §2
    return true;
  }

  acknowledged(next, now) {
    const rest = this.#inFlight.filter((highest) => highest >= next);
    if (rest.length === this.#inFlight.length) return;
    this.#inFlight = rest;
    this.#backoff = 0;
    this.#unmovedSince = this.#awaitingSince = rest.length ? now : null;
  }

  /** What is under way is given up: everything from `base` goes out again. */
  sendAgain(base) {
    this.#inFlight = [];
    this.cursor = base;
    this.#awaitingSince = this.#unmovedSince = null;
    this.#backoff += 1;
  }

  /** Time passed in which this page did not run: what was owed meanwhile proves nothing. @param {number} now */
  slept(now) {
    if (this.#awaitingSince !== null) this.#awaitingSince = now;
    if (this.#unmovedSince !== null) this.#unmovedSince = now;
  }
}
