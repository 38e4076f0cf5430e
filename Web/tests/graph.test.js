// Conflict resolution against recordings of gun.js (Tests/GunTests/Resources), and puts with a fault.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { isLegal, nodeOf, recordsOf, StateClock, supersedes } from "../gun/graph.js";

const { cases, messages } = JSON.parse(await readFile(new URL("../../Tests/GunTests/Resources/ham.json", import.meta.url), "utf8"));

function entry(value, state) {
  if (value === undefined || state === undefined || state === null) return undefined;
  try {
    const parsed = { value: JSON.parse(value), state: JSON.parse(state) };
    return isLegal(parsed.value) && Number.isFinite(parsed.state) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

test("the recorded cases of conflict resolution", () => {
  let decided = 0;
  for (const { n, group, now, v, s, kv, ks, outcome } of cases) {
    const incoming = entry(v, s);
    if (!incoming) continue;
    assert.notEqual(group, "bad value", `case ${n} was read`);
    decided += 1;
    const ours = incoming.state > now ? "defer" : supersedes(incoming, entry(kv, ks)) ? "accept" : "ignore";
    assert.equal(ours, outcome, `case ${n} ${group}`);
  }
  assert.ok(decided > 960);
});

test("a put with a fault is refused whole", () => {
  for (const { name, frame, err } of messages) {
    if (typeof err !== "string" && name !== "bad key last") continue;
    assert.throws(() => recordsOf(JSON.parse(frame).put), TypeError, name);
  }
});

test("keys of any name go out and come back, and nothing else is touched", () => {
  const entries = [["__proto__", { value: 1, state: 5 }], ["constructor", { value: "a", state: 6 }]];
  const put = JSON.parse(JSON.stringify({ soul: nodeOf("soul", entries) }));
  assert.deepEqual(recordsOf(put).map(({ key, value, state }) => [key, value, state]), [["__proto__", 1, 5], ["constructor", "a", 6]]);
  assert.equal({}.constructor, Object);
});

test("states grow, and stay less than a millisecond ahead", () => {
  const clock = new StateClock();
  let last = -Infinity;
  for (let count = 0; count < 2_000; count += 1) {
    const state = clock.next(1_700_000_000_000);
    assert.ok(state > last && state < 1_700_000_000_001);
    last = state;
  }
  assert.equal(clock.next(1_600_000_000_000), 1_600_000_000_000);
});
