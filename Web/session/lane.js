// The twelve streams of fragments that go from a member to another (docs/protocol.md, "Lanes"). A lane is a number.

/** How urgent something is. @typedef {"low" | "normal" | "high" | "urgent"} Priority */

export const LANES = 12;
/** The lane that every member knows: messages in order, of normal priority. */
export const PLAIN = 0;

/** The priorities in the order of their lanes; where one stands here is its rank. @type {readonly Priority[]} */
export const PRIORITIES = Object.freeze(["normal", "high", "urgent", "low"]);
/** The ranks, the most urgent first. */
export const BY_URGENCY = Object.freeze([2, 1, 0, 3]);
/** By rank: what part of a path each gets when all have something to say. */
export const WEIGHTS = Object.freeze([4, 16, 64, 1]);

/** @param {Priority} priority @returns {number} */
export function rankOf(priority) {
  const rank = PRIORITIES.indexOf(priority);
  if (rank < 0) throw new TypeError(`a priority is one of ${PRIORITIES.join(", ")}`);
  return rank;
}

/** @param {Priority} priority @param {boolean} isOrdered */
export const messageLane = (priority, isOrdered) => rankOf(priority) + (isOrdered ? 0 : 4);
/** @param {Priority} priority */
export const controlLane = (priority) => rankOf(priority) + 8;
/** @param {number} lane @returns {Priority} */
export const priorityOf = (lane) => PRIORITIES[lane & 3];
/** Whether what it carries is handed on in the order in which it was sent. @param {number} lane */
export const isOrdered = (lane) => lane < 4 || lane >= 8;
/** Whether it carries control messages, of which nothing outlives a run. @param {number} lane */
export const isControl = (lane) => lane >= 8;
/** How many fragments from the next expected one on a reader takes. @param {number} lane */
export const windowOf = (lane) => (lane === PLAIN ? 1024 : 256);
