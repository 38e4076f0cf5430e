import assert from "node:assert/strict";
import test from "node:test";
import { Negotiation } from "../signaling/negotiation.js";

test("only the decider offers, and of competing attempts the latest counts", () => {
  const [decider, other] = [new Negotiation(true, 0), new Negotiation(false, 0)];
  assert.equal(decider.offerAt, 0);
  assert.equal(other.offerAt, Infinity);
  decider.offered(1n, 1_000, 20_000);
  const first = decider.attempt;
  assert.equal(other.verdict(1n, first), "answer");
  other.answered(1n, first, 12_000);
  assert.equal(other.verdict(1n, first), "repeatAnswer");
  decider.ended(0);
  decider.offered(2n, 1_000, 20_000);
  assert.ok(decider.attempt > first);
  assert.equal(other.verdict(2n, decider.attempt), "answer");
  assert.equal(other.verdict(3n, first - 1), "ignore");
  assert.equal(decider.takesAnswer(1n, first, false, 0), false);
  assert.equal(decider.takesAnswer(2n, decider.attempt, false, 0), true);
});

test("an offer to restart what was given up is answered with closed", () => {
  const other = new Negotiation(false, 0);
  other.answered(1n, 5, 12_000);
  other.opened(1n);
  assert.equal(other.verdict(1n, 6), "restart");
  other.ended(0);
  assert.equal(other.verdict(1n, 6), "gone");
  assert.equal(other.verdict(1n, 5), "ignore");
});

test("the answer to an open offer is the decider's only when nothing is under way", () => {
  const decider = new Negotiation(true, 0);
  assert.equal(decider.takesAnswer(1n, 9, true, 0), true);
  assert.equal(decider.takesAnswer(2n, 10, true, 0), false);
  const other = new Negotiation(false, 0);
  other.answered(3n, 9, 0);
  assert.equal(other.takesAnswer(4n, 10, true, 0), true);
  assert.equal(other.attempt, 10);
  assert.equal(other.takesAnswer(5n, 10, true, 0), false);
});
