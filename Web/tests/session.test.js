// Two sessions over paths that lose, delay and double packets, and come and go, on a clock of our own: each message arrives
// once and in order. Seeds are in the names of the tests.

import assert from "node:assert/strict";
import test from "node:test";
import { utf8, text } from "../base/bytes.js";
import { parsePacket } from "../session/frame.js";
import { PLAIN } from "../session/lane.js";
import { Outbound } from "../session/outbound.js";
import { Session } from "../session/session.js";
import { random } from "./support/session-pair.js";

const COUNT = 200;

const sessionWith = (outbound) => new Session({ outbounds: new Map([[PLAIN, outbound]]) });

class Side {
  constructor(stream) {
    this.session = sessionWith(new Outbound(PLAIN, stream));
    this.received = [];
    this.delivered = [];
    this.sent = 0;
  }

  send(size) {
    this.session.lanes.send(utf8(`${this.sent} ${"x".repeat(size)}`), true);
    this.sent += 1;
  }

  drain() {
    for (let event; (event = this.session.nextEvent()); ) {
      if (event.type === "message") this.received.push(Number(text(event.content).split(" ")[0]));
      if (event.type === "settled" && event.outcome === "delivered") this.delivered.push(event.number);
      if (event.type === "inboundAdvanced") this.session.lanes.commit(event.lane, event.note);
    }
  }
}

function simulate(seed) {
  const draw = random(seed);
  const sides = [new Side(1n), new Side(2n)];
  const wire = [];
  let direct = false;
  let isCut = false;
  for (const { session } of sides) session.pathOpened("relay", 0);
  for (let now = 0; now < 300_000; now += 5) {
    if (draw() < 0.002) {
      direct = !direct;
      for (const { session } of sides) direct ? session.pathOpened("connection", now) : session.pathClosed("connection", now);
    }
    if (draw() < 0.002) isCut = !isCut;
    if (now > 150_000) isCut = false;
    for (const side of sides) {
      if (side.sent < COUNT && draw() < 0.02) side.send(draw() < 0.1 ? Math.floor(draw() * 60_000) : 10);
    }
    for (const packet of wire.splice(0)) {
      if (packet.at > now) wire.push(packet);
      else if (packet.carrier === "relay" || direct) sides[packet.to].session.receive(parsePacket(packet.bytes), packet.carrier, now);
    }
    sides.forEach((side, index) => {
      side.session.handleTimeout(now);
      side.drain();
      for (const carrier of ["connection", "relay"]) {
        for (let bytes; (bytes = side.session.pollPacket(carrier, 1 << 18, now)); ) {
          // The direct path loses nothing while it is there, but may be cut without notice; the relay path is a poor one.
          if (carrier === "connection" ? isCut : draw() < 0.1) continue;
          const copies = carrier === "relay" && draw() < 0.1 ? 2 : 1;
          for (let copy = 0; copy < copies; copy += 1) {
            const delay = carrier === "relay" ? 20 + draw() * 60 : 10;
            wire.push({ to: 1 - index, carrier, bytes, at: now + delay });
          }
        }
      }
    });
    if (sides.every((side) => side.sent === COUNT && side.session.lanes.outbounds[0].isEmpty)) break;
  }
  return sides;
}

for (let seed = 1; seed <= 12; seed += 1) {
  test(`every message once and in order, seed ${seed}`, () => {
    const numbers = Array.from({ length: COUNT }, (_, index) => index);
    for (const { received, delivered } of simulate(seed)) {
      assert.deepEqual(received, numbers);
      assert.deepEqual(delivered, numbers.map((number) => number + 1));
    }
  });
}

test("a stream taken up again after a restart goes on where it was", () => {
  const [a, b] = [new Side(1n), new Side(2n)];
  a.session.pathOpened("relay", 0);
  b.session.pathOpened("relay", 0);
  a.send(10);
  a.send(10);
  b.session.receive(parsePacket(a.session.pollPacket("relay", Infinity, 0)), "relay", 0);
  b.drain();
  assert.deepEqual(b.received, [0, 1]);
  // Its acknowledgement is lost; the writer's next run has kept both messages, and the reader drops them.
  const again = sessionWith(new Outbound(PLAIN, 1n, 1, 1));
  for (const number of [0, 1]) again.lanes.send(utf8(`${number} again`), true);
  again.pathOpened("relay", 0);
  b.session.peerRestarted(0);
  b.session.receive(parsePacket(again.pollPacket("relay", Infinity, 10)), "relay", 10);
  b.drain();
  assert.deepEqual(b.received, [0, 1]);
});
