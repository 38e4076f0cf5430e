// Whole members in one Node.js process, with the relays and peer connections of this folder.

import { join as joinSwarm } from "../../swarm-space.js";
import { FakeConnection } from "./connections.js";
import { FakeWebSocket, Relay } from "./relay.js";

globalThis.RTCPeerConnection = FakeConnection;
globalThis.WebSocket = FakeWebSocket;

let count = 0;

/** Waits until something is so; fails when that takes too long. */
export async function until(condition, what, seconds = 10) {
  const end = performance.now() + seconds * 1_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** A swarm of its own, whose members leave when the test ends. */
export function swarmFor(test) {
  count += 1;
  const name = `test ${count}`;
  const members = [];
  test.after(() => Promise.all(members.map((member) => member.leave())));
  return {
    relay: (word = "relay") => new Relay(`ws://${word}-${count}.example/gun`),
    async join(nick, relays, options = {}) {
      const member = await joinSwarm(name, { name: nick, relays: relays.map(({ url }) => url), storage: "memory", ...options });
      members.push(member);
      member.heard = [];
      member.told = [];
      member.on((event) => (event.type === "message" ? member.heard.push(event.message.text) : member.told.push(event)));
      member.pathTo = (other) => member.peers.find(({ id }) => id === other.peerID)?.path ?? null;
      return member;
    },
  };
}

/** Until each of them talks directly with each other one. */
export const connected = (...members) =>
  until(() => members.every((a) => members.every((b) => a === b || a.pathTo(b) === "direct")), "direct paths");

/** What goes directly between the two is lost from now on, without a word. */
export function cut(a, b) {
  a.block("direct", b.peerID);
  b.block("direct", a.peerID);
}

export function mend(a, b) {
  a.unblock("direct", b.peerID);
  b.unblock("direct", a.peerID);
}
