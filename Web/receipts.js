// What became of the messages that were sent.

/**
 * @typedef {"delivered" | "expired" | "rejected"} MessageOutcome
 * @typedef {import("./session/outbound.js").Rejection} Rejection
 */

/** What `Swarm.send` gives: names a message, and tells what becomes of it. Nobody needs to keep it: events tell the same. */
export class Receipt {
  /** What became of the message; `null` while that is not known. @type {MessageOutcome | null} */
  knownOutcome = null;
  /** Why it was rejected, if it was. @type {Rejection | null} */
  rejection = null;
  #waiting = [];
  #error = null;

  /** @param {string} peer to whom the message goes @param {number} number its number among those to this member */
  constructor(peer, number) {
    this.peer = peer;
    this.number = number;
  }

  /**
   * Waits until it is known what became of the message. Rejects when the swarm is left before: what is kept by the browser goes
   * out when this member is back.
   * @returns {Promise<MessageOutcome>}
   */
  outcome() {
    if (this.knownOutcome) return Promise.resolve(this.knownOutcome);
    if (this.#error) return Promise.reject(this.#error);
    return new Promise((done, failed) => this.#waiting.push({ done, failed }));
  }

  /** @internal @param {MessageOutcome} outcome @param {Rejection | null} rejection */
  settle(outcome, rejection) {
    this.knownOutcome = outcome;
    this.rejection = rejection;
    for (const { done } of this.#waiting.splice(0)) done(outcome);
  }

  /** @internal @param {Error} error */
  fail(error) {
    this.#error = error;
    for (const { failed } of this.#waiting.splice(0)) failed(error);
  }
}

/** The receipts of messages that wait. */
export class Receipts {
  /** @type {Map<string, Receipt>} */
  #open = new Map();

  /** @param {string} peer @param {number} number @returns {Receipt} */
  add(peer, number) {
    const receipt = new Receipt(peer, number);
    this.#open.set(`${peer}/${number}`, receipt);
    return receipt;
  }

  /** Takes what happened. @param {{type: string, to?: string, sequence?: number, reason?: Rejection}} event */
  take({ type, to, sequence, reason }) {
    if (type !== "delivered" && type !== "expired" && type !== "rejected") return;
    const key = `${to}/${sequence}`;
    this.#open.get(key)?.settle(type, reason ?? null);
    this.#open.delete(key);
  }

  close() {
    for (const receipt of this.#open.values()) receipt.fail(new Error("this member has left the swarm"));
    this.#open.clear();
  }
}
