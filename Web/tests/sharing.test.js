// The graph between members, over their connections: with relays, without any, and by ways around a cut.

import assert from "node:assert/strict";
import test from "node:test";
import { GunClient } from "../gun/client.js";
import { contentHash } from "../gun/hash.js";
import { connected, cut, mend, pause, swarmFor, until } from "./support/swarm.js";

const value = (member, soul = "board") => member.graph.get(soul).value;
const follow = (...members) => members.forEach((member) => (member.stop = member.graph.get("board").on(() => {})));

test("what is written when no relay is alive reaches all, and the relay when it is back", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const [alice, bob, carol] = [await swarm.join("alice", [relay]), await swarm.join("bob", [relay]), await swarm.join("carol", [relay])];
  follow(alice, bob, carol);
  await connected(alice, bob, carol);
  alice.graph.get("board").put({ before: 1 });
  await until(() => value(carol).before === 1, "what went by the relay");
  relay.kill();
  bob.graph.get("board").put({ during: 2 });
  await pause(50); // clocks of one machine agree that well
  alice.graph.get("board").put({ during: 3 });
  await until(() => [alice, bob, carol].every((member) => value(member).during === 3), "the later of two writes, everywhere");
  assert.deepEqual(value(carol), { before: 1, during: 3 });
  relay.restart();
  await until(() => relay.nodes.get("board")?.size === 2, "the relay that knew nothing");
  assert.deepEqual(Object.fromEntries([...relay.nodes.get("board")].map(([key, entry]) => [key, entry.value])), { before: 1, during: 3 });
});

test("it goes around a cut, and what is long goes in parts", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const [alice, bob, carol] = [await swarm.join("alice", [relay]), await swarm.join("bob", [relay]), await swarm.join("carol", [relay])];
  follow(bob, carol);
  await connected(alice, bob, carol);
  await pause(300);
  relay.kill();
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key ${index}`, "x".repeat(400)]));
  alice.graph.get("board").put(many);
  await until(() => Object.keys(value(bob)).length === 300 && Object.keys(value(carol)).length === 300, "300 keys at both");
  cut(alice, bob);
  alice.graph.get("board").put({ last: true });
  await until(() => value(carol).last === true, "carol, who is connected");
  // Alice and Bob say still that they are connected: until that ends, or comes back, Bob must wait.
  mend(alice, bob);
  await until(() => value(bob).last === true, "bob, when the path is back");
});

test("who loses a connection hears by others what went by it", async (t) => {
  const swarm = swarmFor(t);
  const [first, second] = [swarm.relay("first"), swarm.relay("second")];
  const alice = await swarm.join("alice", [first]);
  const carol = await swarm.join("carol", [first, second]);
  const bob = await swarm.join("bob", [second]);
  follow(alice, bob, carol);
  await connected(alice, carol);
  await connected(bob, carol);
  first.kill();
  second.kill();
  await connected(alice, bob, carol);
  await pause(300);
  cut(alice, bob);
  alice.graph.get("board").put({ colour: "red" });
  await until(() => value(carol).colour === "red", "carol");
  await bob.leave();
  const again = await swarm.join("bob", [second]);
  follow(again);
  second.restart();
  await until(() => value(again).colour === "red", "bob, in a new run");
});

test("a member's own node is its own", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const [alice, bob] = [await swarm.join("alice", [relay]), await swarm.join("bob", [relay])];
  await connected(alice, bob);
  relay.kill();
  const seen = [];
  bob.graph.user(alice.peerID).on((key, content) => seen.push([key, content]));
  alice.graph.own.put({ status: "away", link: { "#": "board" } });
  await until(() => seen.length === 2, "what alice signed");
  assert.deepEqual(bob.graph.user(alice.peerID).value, { status: "away", link: { "#": "board" } });
  assert.throws(() => bob.graph.user(alice.peerID).put({ status: "here" }), TypeError);
  assert.equal(alice.graph.own.value.status, "away");
});

test("a member is given what it asks for, of what members may have", () => {
  const client = new GunClient({ changed: () => {}, wall: () => 1_000, now: () => 0 });
  const told = [];
  const link = { send: (text) => told.push(JSON.parse(text)), hasRoom: true };
  client.put("swarm/presence", [["tag", "sealed"]], 1, { isDurable: true });
  client.put("board", [["colour", "red"]], 2, { isDurable: true, isShared: true });
  client.linkOpened(link, "member");
  assert.deepEqual(told.map(({ dam, get }) => [dam, get]), [["?", undefined]], "unasked only a greeting");
  const ask = (id, get, hash) => client.receive(link, JSON.stringify({ get, "#": id, ...(hash === undefined ? {} : { "##": hash }) }));
  ask("1", { "#": "swarm/presence" });
  ask("2", { "#": "board" });
  ask("3", { "#": "board" }, contentHash("board", [["colour", { value: "red", state: 2 }]]));
  ask("4", { "#": "board", ".": "size" });
  const answers = Object.fromEntries(told.filter((each) => each["@"] && !each.dam).map((each) => [each["@"], each]));
  assert.equal(answers[1].put, undefined, "presence is for relays");
  assert.equal(answers[2].put.board.colour, "red");
  assert.ok(answers[3].put === undefined && answers[3]["##"] !== undefined, "who has all of it is told so");
  assert.equal(answers[4].put, undefined);
  // What it sends of souls that nobody follows or wrote here is not taken; a forged signature neither.
  const put = (soul, value) => client.receive(link, JSON.stringify({ put: { [soul]: { _: { "#": soul, ">": { k: 3 } }, k: value } }, "#": "5" }));
  put("other", 1);
  assert.deepEqual(client.node("other"), []);
  link.hasRoom = false;
  client.put("board", [["a", 1], ["b", 2]], 3, { isDurable: true, isShared: true });
  client.memberHasRoom(link);
  const before = told.length;
  link.hasRoom = true;
  client.memberHasRoom(link);
  assert.equal(told.length, before + 1, "what waited goes in one frame");
  assert.deepEqual(Object.keys(told.at(-1).put.board).sort(), ["_", "a", "b"]);
});
