// A page that goes away, for good or into the browser's cache.

import assert from "node:assert/strict";
import test from "node:test";
import { connected, pause, swarmFor, until } from "./support/swarm.js";

/** A member in a page of its own: what happens to the page is dispatched there. */
async function joinInPage(swarm, nick, relays, options) {
  const page = new EventTarget();
  Object.assign(globalThis, { window: page, document: new EventTarget() });
  const member = await swarm.join(nick, relays, options);
  delete globalThis.window;
  delete globalThis.document;
  const happen = (type, persisted) => page.dispatchEvent(Object.assign(new Event(type), { persisted }));
  return { member, happen };
}

test("its good-bye is newer than all it said of itself, and nothing is told of its paths afterwards", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const { member: bob, happen } = await joinInPage(swarm, "bob", [relay]);
  await pause(2_100); // then he says anew who he is to whom he meets
  const carol = await swarm.join("carol", [relay]);
  await connected(bob, carol);
  await pause(300); // he has
  carol.block("direct", bob.peerID);
  happen("pagehide", false);
  await until(() => carol.told.some(({ type, peer }) => type === "left" && peer === bob.peerID), "that bob has left");
  await pause(500);
  assert.equal(carol.told.filter(({ peer }) => peer === bob.peerID).at(-1).type, "left");
});

test("back from the cache it takes up what was unread, once, and what it says meanwhile", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const alice = await swarm.join("alice", [relay]);
  const { member: bob, happen } = await joinInPage(swarm, "bob", [relay]);
  await connected(alice, bob);
  const messages = bob.messages[Symbol.asyncIterator]();
  await alice.send(bob.peerID, "first");
  await alice.send(bob.peerID, "second");
  await until(() => alice.told.filter(({ type }) => type === "delivered").length === 2, "both are delivered");
  assert.equal((await messages.next()).value.text, "first"); // it is being taken all the time

  happen("pagehide", true);
  await until(() => alice.told.some(({ type }) => type === "left"), "that bob is away");
  bob.graph.get("board").put({ colour: "red" });
  happen("pageshow", true);
  await bob.send(alice.peerID, "back");
  await until(() => alice.heard.includes("back"), "what was said at once");
  await connected(alice, bob);
  await alice.send(bob.peerID, "third");
  for (const text of ["second", "third"]) assert.equal((await messages.next()).value.text, text);
  assert.deepEqual(bob.heard, ["first", "second", "third"]);
  let colour = null;
  alice.graph.get("board").on((key, value) => (colour = value));
  await until(() => colour === "red", "what was written while the page was away");
});

test("a listener that fails harms nobody else", async (t) => {
  const swarm = swarmFor(t);
  const relay = swarm.relay();
  const [alice, bob] = [await swarm.join("alice", [relay]), await swarm.join("bob", [relay])];
  const faults = [];
  globalThis.reportError = ({ message }) => faults.push(message);
  const stop = bob.on(({ type }) => {
    if (type === "peer") throw new Error("mine");
  });
  await connected(alice, bob);
  stop();
  await alice.send(bob.peerID, "hello");
  await until(() => bob.heard.includes("hello"), "a message");
  delete globalThis.reportError;
  assert.deepEqual(faults, ["mine"]);
});
