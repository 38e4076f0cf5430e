// Who is here, away and gone, by what a session hears.

import assert from "node:assert/strict";
import test from "node:test";
import { Session } from "../session/session.js";
import { connected, swarmFor, until } from "./support/swarm.js";

/** A session that is up by these carriers since 0, and what it tells and asks until a moment; `answers` says whether a ping is answered. */
function course(carriers, end, answers = () => false) {
  const session = new Session();
  for (const carrier of carriers) session.pathOpened(carrier, 0);
  for (const carrier of carriers) session.receive([{ type: "ping", id: 1n }], carrier, 0);
  const told = [];
  const pings = [];
  for (let now = 0; now <= end; now += 10) {
    session.handleTimeout(now);
    for (const carrier of carriers) {
      for (let packet; (packet = session.pollPacket(carrier, Infinity, now)); ) {
        pings.push([carrier, now]);
        if (answers(carrier, now)) session.receive([], carrier, now);
      }
    }
    for (let event; (event = session.nextEvent()); ) if (["up", "away", "gone"].includes(event.type)) told.push([event.type, now]);
  }
  return { told, pings };
}

test("one that is directly connected and falls silent is away after 4.5 s, and gone after 60", () => {
  const { told, pings } = course(["connection", "relay"], 70_000);
  assert.deepEqual(told, [["up", 0], ["away", 4_500], ["gone", 60_000]]);
  for (const carrier of ["connection", "relay"]) {
    const asked = pings.filter(([each, now]) => each === carrier && now >= 2_500 && now < 4_500).map(([, now]) => now);
    assert.deepEqual(asked.filter((now) => now % 500 === 0), [2_500, 3_000, 3_500, 4_000], carrier);
  }
});

test("one that only a relay reaches is away after 20 s", () => {
  assert.deepEqual(course(["relay"], 30_000).told, [["up", 0], ["away", 20_000]]);
});

test("one whose direct path alone is cut is here: it answers by the relay", () => {
  assert.deepEqual(course(["connection", "relay"], 30_000, (carrier) => carrier === "relay").told, [["up", 0]]);
});

test("one that answers now and then is here", () => {
  assert.deepEqual(course(["connection"], 30_000, (_, now) => now % 4_000 < 10).told, [["up", 0]]);
});

test("a member that vanishes is away, is here again when it returns, and the roster says so", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const alice = await swarm.join("alice", [relay]);
  const bob = await swarm.join("bob", [relay]);
  await connected(alice, bob);
  const standing = () => alice.roster.map(({ name, isAway, paths }) => [name, isAway, paths.map(({ path, isInUse }) => `${path} ${isInUse}`)]);
  assert.deepEqual(standing(), [["bob", false, ["direct true", "relay false"]]]);
  const told = () => alice.told.filter(({ type }) => ["peer", "away", "left"].includes(type)).map(({ type }) => type);
  for (const path of ["direct", "relay", "mesh"]) alice.block(path, bob.peerID);
  await until(() => told().includes("away"), "that bob is away", 8);
  assert.equal(alice.peers.length, 0);
  assert.equal(standing()[0][1], true);
  for (const path of ["direct", "relay", "mesh"]) alice.unblock(path, bob.peerID);
  await until(() => alice.peers.length === 1, "that bob is here", 20);
  assert.deepEqual(told(), ["peer", "away", "peer"]);
  await bob.leave();
  await until(() => told().at(-1) === "left", "that bob has left");
  assert.equal(alice.roster.length, 0);
});
