// What a page that died, or was put away, had been handed of what is kept.

import assert from "node:assert/strict";
import test from "node:test";
import { Engine } from "../member/engine.js";
import { gotKey } from "../member/keeping.js";
import { Identity } from "../sealing/keys.js";
import { Topic } from "../sealing/topic.js";
import { MemoryStore } from "../storage/store.js";

test("what was taken is forgotten, what was handed on is kept, and only the rest is handed on", async () => {
  const [taken, handedOn, fresh] = [1, 2, 3].map((number) => gotKey("somebody", 7n, number));
  const store = new MemoryStore();
  await store.write(new Map([taken, handedOn, fresh].map((key) => [key, { from: "somebody", key }])));
  const told = [];
  const engine = await Engine.start({
    topic: await Topic.of(new Uint8Array(20)), identity: await Identity.generate(), store, name: "", trackers: [], relays: [],
    iceServers: [], paths: new Set(), keepsState: true, forwards: false, taken: new Set([taken]), handedOn: new Set([handedOn]),
    emit: (event) => told.push(event.key),
  });
  await engine.close();
  assert.deepEqual(told, [fresh]);
  assert.deepEqual([...(await store.read()).keys()], [handedOn, fresh]);
});
