// What is said to a member that is away reaches it when it returns, though the sender is gone by then.

import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStore } from "../storage/store.js";
import { connected, pause, swarmFor, until } from "./support/swarm.js";

async function pairThatHasMet(t) {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const stores = { alice: new MemoryStore(), bob: new MemoryStore() };
  const join = (name) => swarm.join(name, [relay], { storage: stores[name] });
  const [alice, bob] = [await join("alice"), await join("bob")];
  await connected(alice, bob);
  await alice.send(bob.peerID, "first");
  await bob.send(alice.peerID, "first back");
  await until(() => bob.heard.includes("first") && alice.heard.includes("first back"), "the first messages");
  for (const [store, other] of [[stores.alice, bob], [stores.bob, alice]]) {
    let held;
    do {
      await pause(20);
      held = (await store.read()).get(`held/${other.peerID}`);
    } while (!held);
    assert.equal(held.oneTime.length, 32);
  }
  return { relay, stores, join, alice, bob };
}

const ofKind = async (store, kind) => [...(await store.read()).keys()].filter((key) => key.startsWith(`${kind}/`)).length;

test("sender and recipient are never there at the same time", async (t) => {
  const { relay, stores, join, alice, bob } = await pairThatHasMet(t);
  const id = bob.peerID;
  const prekeys = await ofKind(stores.bob, "prekey");
  await bob.leave();
  const long = "x".repeat(30_000);
  await alice.send(id, "while you were away");
  await alice.send(id, long);
  await until(() => alice.told.filter(({ type }) => type === "stored").length === 2, "that a relay has both");
  await alice.leave();
  const again = await join("bob");
  assert.equal(again.peerID, id);
  await until(() => again.heard.length === 2, "the mail");
  assert.deepEqual(again.heard, ["while you were away", long]);
  const left = () => [...relay.nodes].filter(([soul]) => soul.endsWith("<?1209600")).flatMap(([, node]) => [...node].filter(([key, { value }]) => value !== null && !key.endsWith("/ack")));
  await until(() => left().length === 0, "that the items are gone");
  let now = prekeys;
  for (let tries = 0; now >= prekeys && tries < 100; tries += 1) {
    await pause(20);
    now = await ofKind(stores.bob, "prekey");
  }
  assert.ok(now < prekeys, "the keys that opened them are destroyed");
  // Bob's acknowledgement waits for Alice in turn.
  await until(() => [...relay.nodes].some(([, node]) => [...node].some(([key, { value }]) => key.endsWith("/ack") && value !== null)), "the acknowledgement");
  await again.leave();
  const later = await join("alice");
  await until(() => later.told.filter(({ type }) => type === "delivered").length === 2, "that it was delivered");
});

test("what was left and is said again counts once", async (t) => {
  const { relay, join, alice, bob } = await pairThatHasMet(t);
  await bob.leave();
  await alice.send(bob.peerID, "by mail, and by word");
  await until(() => alice.told.some(({ type }) => type === "stored"), "that a relay has it");
  const again = await join("bob");
  await connected(alice, again);
  await alice.send(bob.peerID, "next");
  await until(() => again.heard.includes("next"), "what follows");
  await pause(300);
  assert.deepEqual(again.heard, ["by mail, and by word", "next"]);
  // What is forged or for nobody is refused, and removed.
  const [soul, node] = [...relay.nodes].find(([name, entries]) => name.endsWith("<?1209600") && entries.size);
  assert.ok(soul && node);
});

test("a member without storage of its own gives no prekeys", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const store = new MemoryStore();
  const [alice, bob] = [await swarm.join("alice", [relay], { storage: store }), await swarm.join("bob", [relay])];
  await connected(alice, bob);
  await pause(500);
  assert.equal((await store.read()).get(`held/${bob.peerID}`), undefined);
});

test("mail has every lane, and what is over when it is read is told as expired", async (t) => {
  const { relay, join, alice, bob } = await pairThatHasMet(t);
  const id = bob.peerID;
  await bob.leave();
  await until(() => !alice.peers.length, "that bob is away");
  await alice.send(id, "urgent", { priority: "urgent" });
  await alice.send(id, "in time", { priority: "low", ordered: false, deadline: Date.now() + 60_000 });
  const over = await alice.send(id, "over", { priority: "high", deadline: Date.now() + 5_000 });
  await alice.send(id, "plain");
  await until(() => alice.told.filter(({ type }) => type === "stored").length === 4, "that a relay has all four");
  assert.equal(over.knownOutcome, null);
  await alice.leave();
  await pause(5_100);
  const again = await join("bob");
  await until(() => again.heard.length === 3, "the mail");
  const acknowledged = ([, node]) => [...node].some(([key, { value }]) => key.endsWith("/ack") && value !== null);
  await until(() => [...relay.nodes].some(acknowledged), "the acknowledgement");
  assert.deepEqual([...again.heard].sort(), ["in time", "plain", "urgent"]);
  await again.leave();
  const later = await join("alice");
  await until(() => later.told.filter(({ type }) => type === "delivered").length === 3, "that three were delivered");
  assert.deepEqual(later.told.filter(({ type }) => type === "expired").map(({ sequence }) => sequence), [over.number]);
});
