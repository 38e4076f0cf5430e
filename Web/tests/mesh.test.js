// Two who do not reach each other, and a third who reaches both.

import assert from "node:assert/strict";
import test from "node:test";
import { MeshNeighbour } from "../member/neighbour.js";
import { connected, cut, mend, pause, swarmFor, until } from "./support/swarm.js";

async function threeOfWhomTwoAreApart(t, options = {}) {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const [alice, bob, carol] = [
    await swarm.join("alice", [relay], options), await swarm.join("bob", [relay], options), await swarm.join("carol", [relay], options),
  ];
  await connected(alice, bob, carol);
  await pause(300); // the neighbours have told of each other
  cut(alice, bob);
  return { swarm, relay, alice, bob, carol };
}

test("they talk through it when no relay is alive, and directly when they can again", async (t) => {
  const { relay, alice, bob, carol } = await threeOfWhomTwoAreApart(t);
  await until(() => alice.pathTo(bob) === "relay", "the relay path");
  relay.kill();
  await alice.send(bob.peerID, "one");
  await bob.send(alice.peerID, "two");
  await until(() => bob.heard.includes("one") && alice.heard.includes("two"), "messages through carol");
  assert.equal(alice.pathTo(bob), "mesh");
  assert.equal(bob.pathTo(alice), "mesh");
  const long = "x".repeat(200_000);
  await alice.send(bob.peerID, long);
  await until(() => bob.heard.length === 2, "a long message through carol");
  assert.equal(bob.heard[1], long);
  assert.deepEqual(carol.heard, []);
  mend(alice, bob);
  await until(() => alice.pathTo(bob) === "direct" && bob.pathTo(alice) === "direct", "the direct path");
});

test("they meet through it, and connect by what it carries", async (t) => {
  const swarm = swarmFor(t);
  const [first, second] = [swarm.relay("first"), swarm.relay("second")];
  const alice = await swarm.join("alice", [first]);
  const carol = await swarm.join("carol", [first, second]);
  await connected(alice, carol);
  first.kill();
  const bob = await swarm.join("bob", [second]);
  await until(() => bob.pathTo(carol) === "direct", "bob and carol");
  second.kill();
  await connected(alice, bob, carol);
  assert.ok(alice.told.some(({ type, peer, plane }) => type === "discovered" && peer === bob.peerID && plane === "mesh"));
});

test("who does not want to forward does not", async (t) => {
  const { relay, alice, bob } = await threeOfWhomTwoAreApart(t, { forwards: false });
  relay.kill();
  await alice.send(bob.peerID, "never");
  await pause(2_000);
  assert.deepEqual(bob.heard, []);
  assert.notEqual(alice.pathTo(bob), "mesh");
});

test("the third dies and another takes over", async (t) => {
  const { swarm, relay, alice, bob, carol } = await threeOfWhomTwoAreApart(t);
  const dave = await swarm.join("dave", [relay]);
  await connected(alice, dave);
  await connected(bob, dave);
  await pause(300);
  relay.kill();
  await alice.send(bob.peerID, "first");
  await until(() => bob.heard.includes("first"), "a message by the mesh path");
  await carol.leave();
  await alice.send(bob.peerID, "second");
  await bob.send(alice.peerID, "third");
  await until(() => bob.heard.includes("second") && alice.heard.includes("third"), "messages through dave");
});

test("forwarding is limited, as it is natively", () => {
  const neighbour = new MeshNeighbour({ bytesPerSecond: 1_000, burst: 2_000, overhead: 100 });
  const asked = [[1_900, 0], [0, 0], [900, 1_000], [1_901, 100_000], [1_900, 100_000]];
  // All that is saved, then nothing; what a second gives; no more than the burst, then just that.
  assert.deepEqual(asked.map(([bytes, at]) => neighbour.mayForward(bytes, at)), [true, false, true, false, true]);
});
