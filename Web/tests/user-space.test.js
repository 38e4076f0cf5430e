// The rule of user space against what a real gun.js relay took and refused (Tests/SEATests/Resources), and hashes of graphs
// against those that gun.js made (Tests/GunTests/Resources).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { recordsOf } from "../gun/graph.js";
import { contentHash } from "../gun/hash.js";
import { contentOf, fits, mayBeWritten, ownerOf, signedText } from "../gun/user-space.js";
import { Identity } from "../sealing/keys.js";

const recorded = async (room, name) => JSON.parse(await readFile(new URL(`../../Tests/${room}Tests/Resources/${name}.json`, import.meta.url), "utf8"));
const NOW = 1_795_348_900_000;
const NOTHING = () => undefined;

test("writes of others are taken and refused as recorded", async () => {
  const { cases } = await recorded("SEA", "puts");
  const stricter = ['signature over the text "[object Object]" (legacy fallback)', 'signed by B, "*" given but no certificate'];
  const undecided = ["older signed value after a newer one", "value as an object instead of text"];
  for (const { name, sent, verdict } of cases) {
    let records;
    try {
      records = recordsOf(JSON.parse(sent).put);
    } catch {
      assert.notEqual(verdict, "accepted", name);
      continue;
    }
    const verdicts = await Promise.all(records.map((record) => mayBeWritten(record, NOW, NOTHING)));
    if (stricter.includes(name)) assert.deepEqual(verdicts, [false], name);
    else if (name.startsWith("two keys in one message")) assert.deepEqual(verdicts, [true, false], name);
    else if (!undecided.includes(name)) assert.deepEqual(verdicts, [verdict === "accepted"], name);
  }
  assert.equal(cases.length, 82);
});

test("what real users wrote is taken", async () => {
  const { graphs } = await recorded("SEA", "user");
  let count = 0;
  for (const graph of graphs) {
    for (const record of recordsOf(graph)) {
      assert.equal(await mayBeWritten(record, 1_795_346_780_000, NOTHING), true, `${record.soul} ${record.key}`);
      count += 1;
    }
  }
  assert.ok(count > 12);
});

test("owners of souls, and texts that fit", async () => {
  for (const { soul, pub } of (await recorded("SEA", "owners")).pub) assert.equal(ownerOf(soul), pub ?? null, soul);
  for (const { text, lex, result } of (await recorded("SEA", "match")).match) assert.equal(fits(text, lex), result, `${text} ${JSON.stringify(lex)}`);
});

test("hashes of graphs", async () => {
  let count = 0;
  for (const { put, hash, agrees } of (await recorded("Gun", "functions")).putHash) {
    const souls = Object.keys(put);
    // gun.js leaves names that are array indices where JavaScript puts them; we sort all alike.
    if (!agrees || souls.length !== 1 || Object.keys(put[souls[0]]).some((key) => /^\d+$/.test(key))) continue;
    const entries = recordsOf(put).map(({ key, value, state }) => [key, { value, state }]);
    assert.equal(contentHash(souls[0], entries), hash, souls[0]);
    count += 1;
  }
  assert.ok(count > 1);
});

test("what we sign is good at its place, and nowhere else", async () => {
  const identity = await Identity.generate();
  const position = { soul: `~${identity.peer}/notes`, key: "title", state: 5.25 };
  const value = await signedText({ "#": "other" }, position, identity);
  assert.equal(await mayBeWritten({ ...position, value }, NOW, NOTHING), true);
  assert.deepEqual(contentOf(position.soul, value), { "#": "other" });
  for (const change of [{ state: 5.5 }, { key: "other" }, { soul: `~${identity.peer}/other` }]) {
    assert.equal(await mayBeWritten({ ...position, value, ...change }, NOW, NOTHING), false);
  }
});
