// Which peer connection two members are making, and whose turn it is (docs/protocol.md, "Who offers").
//
// The member with the lower id decides: it alone sends directed offers, and of competing attempts the one with its latest
// number counts. So two members that dial each other at once end with one connection.

const LONGEST_WAIT = 30_000;
const FIRST_WAIT = 500;

export class Negotiation {
  /** idle: the decider offers from `retryAt` on. @type {"idle" | "offering" | "connecting" | "connected"} */
  phase = "idle";
  retryAt;
  /** When an offer without answer, or a connection that does not open, is given up. */
  deadline = Infinity;
  /** @type {bigint | null} */
  connection = null;
  attempt = 0;
  /** The connection that ended last. @type {bigint | null} */
  #former = null;
  #failures = 0;
  #isRestarting = false;

  /** @param {boolean} decides whether ours is the lower id @param {number} now */
  constructor(decides, now) {
    this.decides = decides;
    this.retryAt = now;
  }

  /** When an offer of ours is due. */
  get offerAt() {
    return this.decides && this.phase === "idle" ? this.retryAt : Infinity;
  }

  /** Whether an offer to whoever gets it is taken: only when nothing else is under way. */
  get takesOpenOffer() {
    return this.phase === "idle";
  }

  offered(connection, wall, deadline) {
    this.connection = connection;
    this.attempt = Math.max(this.attempt + 1, Math.floor(wall));
    this.phase = "offering";
    this.deadline = deadline;
    this.#isRestarting = false;
  }

  restarted(wall) {
    this.attempt = Math.max(this.attempt + 1, Math.floor(wall));
    this.#isRestarting = true;
  }

  /** Judges an offer sealed to us. @returns {"ignore" | "answer" | "restart" | "repeatAnswer" | "gone"} */
  verdict(connection, attempt) {
    if (this.decides || attempt < this.attempt) return "ignore";
    const isKnown = attempt === this.attempt;
    if (connection === this.#former) return isKnown ? "ignore" : "gone";
    if (connection === this.connection) return isKnown ? "repeatAnswer" : "restart";
    return isKnown ? "ignore" : "answer";
  }

  /** We answered. */
  answered(connection, attempt, deadline) {
    const isNew = connection !== this.connection;
    this.connection = connection;
    this.attempt = Math.max(this.attempt, attempt);
    if (isNew || this.phase !== "connected") {
      this.phase = "connecting";
      this.deadline = deadline;
    }
  }

  /** Whether an answer to an offer of ours counts; if so it is taken note of. @param {boolean} toOpenOffer */
  takesAnswer(connection, attempt, toOpenOffer, deadline) {
    if (toOpenOffer) {
      if (this.decides ? !this.takesOpenOffer : attempt <= this.attempt) return false;
      this.connection = connection;
      // The count is the decider's alone.
      if (!this.decides) this.attempt = attempt;
      this.#isRestarting = false;
    } else {
      if (connection !== this.connection || attempt !== this.attempt) return false;
      if (this.#isRestarting) {
        this.#isRestarting = false;
        return true;
      }
      if (this.phase !== "offering") return false;
    }
    this.phase = "connecting";
    this.deadline = deadline;
    return true;
  }

  opened(connection) {
    if (connection !== this.connection) return;
    this.phase = "connected";
    this.deadline = Infinity;
    this.#failures = 0;
  }

  /** The connection is no more. The decider tries again, ever later while it fails. */
  ended(now) {
    if (this.phase === "connected") this.#failures = 0;
    const wait = Math.min(FIRST_WAIT * 2 ** Math.min(this.#failures, 6), LONGEST_WAIT);
    this.#failures += 1;
    this.#former = this.connection ?? this.#former;
    this.connection = null;
    this.#isRestarting = false;
    this.phase = "idle";
    this.deadline = Infinity;
    this.retryAt = now + wait * (0.5 + Math.random() / 2);
  }

  /** Something changed for the better: the next try need not wait. */
  hurry(now) {
    this.#failures = 0;
    if (this.phase === "idle") this.retryAt = Math.min(this.retryAt, now);
  }
}
