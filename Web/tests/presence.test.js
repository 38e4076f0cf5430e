// What a member makes of its own presence records of former runs.

import assert from "node:assert/strict";
import test from "node:test";
import { Presence } from "../member/presence.js";
import { Identity, SessionKey } from "../sealing/keys.js";
import { openPresence, sealPresence } from "../sealing/presence.js";
import { Topic } from "../sealing/topic.js";

const WALL = 1_795_000_000_000;

/** A member whose clock stands still, as far as its presence needs one. */
async function member() {
  const [topic, identity, sessionKey] = await Promise.all([Topic.of(new Uint8Array(20)), Identity.generate(), SessionKey.generate()]);
  const engine = {
    topic, identity, peerID: identity.peer, sessionKey, name: "alice", members: new Map(), isLeaving: false, keepsState: false,
    wall: () => WALL, now: () => 1_000, poke() {},
  };
  const presence = new Presence(engine);
  presence.announceAt = Infinity;
  const takeOfRun = async (ahead, { point } = { point: engine.sessionKey.point }) => {
    const record = { peer: engine.peerID, sessionKey: point, timestamp: WALL + ahead, isLeaving: false, name: "alice" };
    assert.equal(await presence.take(await sealPresence(record, identity, topic), "gun"), null);
  };
  const timestamp = async () => (await openPresence(await presence.sealed(), topic)).timestamp - WALL;
  return { presence, engine, takeOfRun, timestamp, runs: await Promise.all([0, 1, 2].map(() => SessionKey.generate())) };
}

test("records go on above the latest of all former runs, under a key of their own", async () => {
  const { presence, takeOfRun, timestamp, runs } = await member();
  const tag = await presence.tag();
  for (const [index, ahead] of [20_000, 40_000, 30_000].entries()) await takeOfRun(ahead, runs[index]);
  assert.equal(await timestamp(), 40_001);
  assert.equal(await presence.tag(), `${tag}.${WALL}`);
});

test("records of this run, of the past, and of nobody's clock change nothing", async () => {
  const { presence, takeOfRun, timestamp, runs } = await member();
  const tag = await presence.tag();
  assert.equal(await timestamp(), 0);
  await takeOfRun(20_000);
  await takeOfRun(-1, runs[0]);
  await takeOfRun(120_001, runs[1]);
  assert.equal(await timestamp(), 0);
  assert.equal(await presence.tag(), tag);
});

test("two who run with one identity do not race", async () => {
  const { presence, takeOfRun, timestamp, runs } = await member();
  for (let ahead = 1; ahead <= 5; ahead += 1) await takeOfRun(ahead, runs[0]);
  assert.equal(presence.announceAt, 0);
  presence.announceAt = Infinity;
  await takeOfRun(50_000, runs[0]);
  assert.equal(presence.announceAt, 11_000);
  assert.ok((await timestamp()) >= 6);
});

test("who refuses a record as older than one of another run shows that one, and not all the time", async () => {
  const { presence, engine } = await member();
  const [bob, shown] = [await Identity.generate(), []];
  let [now, reaches] = [1_000, true];
  const known = { peer: bob.peer, presence: null, planes: new Set(), refusal: null, shownAt: -Infinity };
  Object.assign(engine, {
    now: () => now, carriesSignals: () => reaches, relayPath: { show: (to, record) => shown.push([to, record]) },
    member: (peer) => (peer === bob.peer ? known : null), admission: { refusal: () => null }, emit() {}, count() {},
    runs: { start: () => engine.members.set(bob.peer, known), wake() {}, left() {} },
  });
  const record = async (ahead, { point }) =>
    sealPresence({ peer: bob.peer, sessionKey: point, timestamp: WALL + ahead, isLeaving: false, name: "bob" }, bob, engine.topic);
  const [former, present] = await Promise.all([SessionKey.generate(), SessionKey.generate()]);
  const later = await record(40_000, former);
  assert.equal(await presence.take(later, "gun"), known);
  const refused = async (ahead) => assert.rejects(presence.take(await record(ahead, present), "gun"), { kind: "replayed" });
  await refused(0);
  assert.deepEqual(shown, [[known, later]]);
  now += 4_999;
  await refused(1);
  assert.equal(shown.length, 1);
  now += 1;
  reaches = false;
  await refused(2);
  assert.equal(shown.length, 1, "nothing would bring it");
  reaches = true;
  await refused(3);
  assert.equal(shown.length, 2);
  now += 5_000;
  await assert.rejects(presence.take(await record(-120_001, present), "gun"), { kind: "stale" });
  assert.equal(await presence.take(await record(39_999, former), "gun"), known, "the same run");
  assert.equal(shown.length, 2);
  assert.equal(await presence.take(await record(40_001, present), "gun"), known, "what is dated after it is heard");
});
