// The requests between two members that are not answered yet.

import { Deadlines } from "../base/deadlines.js";

/** How many of another are answered at a time (docs/protocol.md, "Requests"). */
const MOST_ANSWERING = 256;
/** How many of ours may wait for an answer. */
export const MOST_ASKED = 4_096;

/** @typedef {import("./lane.js").Priority} Priority */

export class Requests {
  /** Ours, with their priorities. @type {Map<bigint, Priority>} */
  asked = new Map();
  /** Those of the other. @type {Map<bigint, Priority>} */
  answering = new Map();
  /** @type {Deadlines<bigint>} */
  #deadlines = new Deadlines();

  /** When the next of ours has waited long enough. */
  get nextDeadline() {
    return this.#deadlines.next;
  }

  /** @param {bigint} id @param {Priority} priority @param {number} deadline */
  ask(id, priority, deadline) {
    this.asked.set(id, priority);
    if (deadline < Infinity) this.#deadlines.add(id, deadline);
  }

  /** Nobody waits for this answer any more, or it is there. @returns {Priority | undefined} `undefined` when nobody waited */
  endAsked(id) {
    const priority = this.asked.get(id);
    this.asked.delete(id);
    this.#deadlines.trim((each) => this.asked.has(each));
    return priority;
  }

  /** One that has waited long enough. @returns {bigint | undefined} */
  popDue(now) {
    for (let id; (id = this.#deadlines.popDue(now)) !== undefined; ) if (this.asked.has(id)) return id;
    return undefined;
  }

  /** @returns {boolean} `false` when there are too many already, or the id is taken */
  beginAnswer(id, priority) {
    if (this.answering.size >= MOST_ANSWERING || this.answering.has(id)) return false;
    this.answering.set(id, priority);
    return true;
  }

  /** @returns {Priority | undefined} */
  endAnswer(id) {
    const priority = this.answering.get(id);
    this.answering.delete(id);
    return priority;
  }
}
