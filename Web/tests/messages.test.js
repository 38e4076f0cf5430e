// Whole members: messages of all lanes with their receipts, requests, byte streams, admission, and members who come back.

import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStore } from "../storage/store.js";
import { ActionRefusal, RequestError, StreamReset } from "../swarm-space.js";
import { FakeChannel } from "./support/connections.js";
import { connected, cut, mend, pause, swarmFor, until } from "./support/swarm.js";

async function pairOf(t, options = {}, otherOptions = {}) {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const [alice, bob] = [await swarm.join("alice", [relay], options), await swarm.join("bob", [relay], otherOptions)];
  await connected(alice, bob);
  return { swarm, relay, alice, bob };
}

function numbered(length) {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) bytes[index] = index * 31 + (index >> 8);
  return bytes;
}

async function whole(readable) {
  const parts = [];
  for await (const part of readable) parts.push(part);
  return Buffer.concat(parts);
}

test("what is urgent overtakes a large message, and a receipt tells of each", async (t) => {
  const { alice, bob } = await pairOf(t);
  const [large, urgent] = await Promise.all([
    alice.send(bob.peerID, numbered(2 << 20), { priority: "low" }), alice.send(bob.peerID, "now", { priority: "urgent" }),
  ]);
  assert.equal(urgent.knownOutcome, null);
  await until(() => bob.heard.length === 2, "both");
  assert.deepEqual(bob.heard.map(({ length }) => length), [3, 2 << 20]);
  assert.equal(await urgent.outcome(), "delivered");
  assert.equal(await large.outcome(), "delivered");
  assert.equal(alice.progress(large), null);
  assert.ok(urgent.number > large.number);
});

test("messages that are sent in one go share packets", async (t) => {
  const { alice, bob } = await pairOf(t);
  let packets = 0;
  FakeChannel.prototype.sent = (content) => (packets += typeof content === "string" ? 0 : 1);
  t.after(() => delete FakeChannel.prototype.sent);
  const words = Array.from({ length: 50 }, (_, index) => `message ${index}`);
  const receipts = await Promise.all(words.map((each) => alice.send(bob.peerID, each)));
  for (const receipt of receipts) assert.equal(await receipt.outcome(), "delivered");
  assert.deepEqual(bob.heard, words);
  assert.ok(packets < 20, `${packets} packets`);
});

test("a deadline expires and tells so, once", async (t) => {
  const { alice, bob } = await pairOf(t);
  const id = bob.peerID;
  await bob.leave();
  await until(() => !alice.peers.length, "that bob is away");
  const late = await alice.send(id, "late", { deadline: Date.now() + 100 });
  const there = await alice.send(id, "there", { deadline: new Date(Date.now() + 60_000), ordered: false });
  assert.equal(await late.outcome(), "expired");
  assert.deepEqual(alice.told.filter(({ type }) => type === "expired").map(({ to, sequence }) => [to, sequence]), [[id, late.number]]);
  assert.equal(there.knownOutcome, null);
  await assert.rejects(alice.send(id, "never", { deadline: 5_000 }), /Date\.now\(\)/);
  await assert.rejects(alice.send(id, "never", { priority: "highest" }), /priority/);
});

test("messages of all lanes survive restarts of either side: once, in the order of each lane", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const stores = [new MemoryStore(), new MemoryStore()];
  let alice = await swarm.join("alice", [relay], { storage: stores[0] });
  let bob = await swarm.join("bob", [relay], { storage: stores[1] });
  const [alicesID, bobsID] = [alice.peerID, bob.peerID];
  await connected(alice, bob);
  const taken = [];
  const read = (member) => void (async () => {
    for await (const { text } of member.messages) taken.push(text);
  })();
  read(bob);
  const sent = [];
  const say = async (count) => {
    for (let index = 0; index < count; index += 1) {
      const [priority, ordered] = [["low", "normal", "high", "urgent"][index % 4], index % 3 !== 0];
      const words = `${sent.length} ${priority} ${ordered} ${"x".repeat(index % 5 === 0 ? 20_000 : 5)}`;
      sent.push(words);
      await alice.send(bobsID, words, { priority, ordered });
    }
  };
  await say(30);
  await until(() => taken.length === 30, "the first thirty");
  await bob.leave();
  await until(() => !alice.peers.length, "that bob is away");
  await say(30);
  const withdrawn = await alice.send(bobsID, "withdrawn", { priority: "high", deadline: Date.now() + 50 });
  await until(() => withdrawn.knownOutcome, "the deadline");
  assert.equal(withdrawn.knownOutcome, "expired");
  await alice.leave();
  alice = await swarm.join("alice", [relay], { storage: stores[0] });
  assert.equal(alice.peerID, alicesID);
  bob = await swarm.join("bob", [relay], { storage: stores[1] });
  read(bob);
  await say(30);
  await until(() => taken.length >= 90, "all of it");
  await pause(300);
  const short = (words) => words.map((each) => each.slice(0, 20));
  assert.deepEqual(short(taken).sort(), short(sent).sort());
  for (const priority of ["low", "normal", "high", "urgent"]) {
    const ofLane = (words) => words.filter((each) => each.includes(` ${priority} true`)).map((each) => Number(each.split(" ")[0]));
    assert.deepEqual(ofLane(taken), ofLane(sent));
  }
  await until(() => alice.peers[0]?.backlog === 0, "that nothing waits");
  await alice.leave();
  const left = [...(await stores[0].read()).keys()].filter((key) => key.startsWith("msg/"));
  assert.deepEqual(left, []);
});

test("requests: answers, failures, refusals, time limits and cancellation, which reach the other side", async (t) => {
  const { alice, bob } = await pairOf(t);
  const signals = [];
  bob.handle("sum", (payload, peer) => {
    assert.equal(peer, alice.peerID);
    return payload.json().reduce((sum, number) => sum + number, 0);
  });
  bob.handle("fail", () => { throw new Error("broken"); });
  bob.handle("never", () => { throw new ActionRefusal("not for you"); });
  bob.handle("slow", (_, __, { signal }) => new Promise((done) => {
    signals.push(signal);
    signal.addEventListener("abort", () => done("too late"));
  }));
  assert.equal((await alice.request(bob.peerID, "sum", [1, 2, 3])).json(), 6);
  const failing = async (promise, code, reason = "") => assert.rejects(promise, (error) => error instanceof RequestError && error.code === code && error.reason === reason);
  await failing(alice.request(bob.peerID, "fail"), "failed", "broken");
  await failing(alice.request(bob.peerID, "never"), "refused", "not for you");
  await failing(alice.request(bob.peerID, "what"), "unknownAction");
  await failing(alice.request(bob.peerID, "slow", "", { timeout: 50 }), "timedOut");
  await until(() => signals[0]?.aborted, "that the handler is told");
  const controller = new AbortController();
  const unwanted = alice.request(bob.peerID, "slow", "", { signal: controller.signal });
  await until(() => signals.length === 2, "the second request");
  controller.abort();
  await assert.rejects(unwanted, { name: "AbortError" });
  await until(() => signals[1].aborted, "that the handler is told");
  await assert.rejects(alice.request(bob.peerID, "sum", "", { signal: controller.signal }), { name: "AbortError" });
  const waiting = failing(alice.request(bob.peerID, "slow"), "interrupted");
  await until(() => signals.length === 3, "the third request");
  await bob.leave();
  await waiting;
  assert.ok(signals[2].aborted);
});

test("a byte stream brings all of it both ways across a cut, and waits while nobody reads", async (t) => {
  const { alice, bob } = await pairOf(t);
  const [there, back] = [numbered(2 << 20), numbered((1 << 20) + 200_001)];
  let received;
  bob.acceptStreams("copy", async (stream) => {
    received = whole(stream.readable);
    const writer = stream.writable.getWriter();
    for (let at = 0; at < back.length; at += 100_000) await writer.write(back.subarray(at, at + 100_000));
    await writer.close();
    await received;
  });
  const stream = await alice.openStream(bob.peerID, { name: "copy" });
  const writer = stream.writable.getWriter();
  const writing = (async () => {
    for (let at = 0; at < there.length; at += 50_000) {
      await writer.write(there.subarray(at, at + 50_000));
      if (at === 1_000_000) cut(alice, bob);
      if (at === 2_000_000) mend(alice, bob);
    }
    await writer.close();
  })();
  await pause(200);
  assert.ok(stream.progress.received <= 1 << 20, "back-pressure");
  const got = await whole(stream.readable);
  await writing;
  assert.ok(got.equals(Buffer.from(back)));
  assert.ok((await received).equals(Buffer.from(there)));
  assert.deepEqual(stream.progress, { acknowledged: there.length, received: back.length });
});

test("byte streams end as they are wanted", async (t) => {
  const { alice, bob } = await pairOf(t);
  const reset = (promise, code) => assert.rejects(promise, (error) => error instanceof StreamReset && error.code === code);
  await reset((await alice.openStream(bob.peerID, { name: "nobody" })).drained(), 1);

  // Who takes it does not want it.
  bob.acceptStreams("picky", () => { throw new StreamReset(300); });
  const picky = await alice.openStream(bob.peerID, { name: "picky" });
  await reset(picky.readable.getReader().read(), 300);
  await reset(picky.writable.getWriter().closed, 300);

  // It answers without reading: what is written is let go, and the answer arrives.
  bob.acceptStreams("deaf", async ({ writable }) => {
    const writer = writable.getWriter();
    await writer.write(new TextEncoder().encode("answer"));
    await writer.close();
  });
  const deaf = await alice.openStream(bob.peerID, { name: "deaf" });
  const writing = deaf.writable.getWriter().write(numbered(4 << 20));
  assert.equal(String(await whole(deaf.readable).catch((error) => error)).replace(/.*no longer wanted.*/, "answer"), "answer");
  await writing.catch(() => {});

  // An abort is a reset.
  let seen;
  bob.acceptStreams("abort", async ({ readable }) => (seen = await whole(readable).catch((error) => error)));
  const aborted = await alice.openStream(bob.peerID, { name: "abort", priority: "high" });
  await pause(50);
  await aborted.writable.abort(new StreamReset(999));
  await until(() => seen, "the reset");
  assert.equal(seen.code, 999);

  // The end of a run is the end of its streams.
  bob.acceptStreams("open", ({ readable }) => whole(readable).catch(() => {}));
  const open = await alice.openStream(bob.peerID, { name: "open" });
  await pause(50);
  await bob.leave();
  await reset(open.drained(), 254);
});

test("who is blocked gets nothing, learns it, and may come back; what is not taken is rejected", async (t) => {
  const { alice, bob } = await pairOf(t, {}, { accepts: (_, { bytes }) => bytes.length < 100 });
  const long = await alice.send(bob.peerID, "x".repeat(200));
  assert.equal(await long.outcome(), "rejected");
  assert.equal(long.rejection, "refused");
  bob.block(alice.peerID);
  await until(() => alice.peers.length === 0, "that alice is sent away");
  const blocked = await alice.send(bob.peerID, "hello?", { priority: "high" });
  assert.equal(await blocked.outcome(), "rejected");
  assert.equal(blocked.rejection, "blocked");
  assert.deepEqual(bob.blocked, [alice.peerID]);
  await assert.rejects(bob.send(alice.peerID, "no"), /blocked/);
  bob.unblock(alice.peerID);
  await bob.send(alice.peerID, "welcome back");
  await until(() => alice.heard.includes("welcome back"), "the conversation", 15);
  await alice.send(bob.peerID, "thanks");
  await until(() => bob.heard.includes("thanks"), "the answer");
  assert.deepEqual(bob.heard, ["thanks"]);
});

test("who is not admitted is told so", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const bob = await swarm.join("bob", [relay], { admits: ({ name }) => name !== "mallory" });
  const mallory = await swarm.join("mallory", [relay]);
  const alice = await swarm.join("alice", [relay]);
  await connected(alice, bob);
  const receipt = await mallory.send(bob.peerID, "let me in");
  assert.equal(await receipt.outcome(), "rejected");
  assert.equal(receipt.rejection, "notAdmitted");
  assert.deepEqual([bob.peers.map(({ name }) => name), bob.heard], [["alice"], []]);
});
