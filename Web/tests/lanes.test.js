// Priorities, messages without order, deadlines, refusals: each message once in its lane, and delivered or expired, never both.

import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../base/bytes.js";
import { Flag, parsePacket, writeFrame } from "../session/frame.js";
import { Inbound } from "../session/inbound.js";
import { PRIORITIES } from "../session/lane.js";
import { Outbound } from "../session/outbound.js";
import { Session } from "../session/session.js";
import { Writer } from "../base/bytes.js";
import { random, SessionPair } from "./support/session-pair.js";

const texts = (pair, side) => pair.received[side].map(({ text }) => text);

test("what is urgent overtakes what waits", () => {
  const pair = new SessionPair(1);
  pair.knowLanes();
  for (let count = 0; count < 300; count += 1) pair.send(0, "x".repeat(8_000), { priority: "low" });
  const urgent = pair.send(0, "now", { priority: "urgent" });
  pair.open("relay");
  pair.run(200);
  assert.ok(pair.received[1].slice(0, 2).some(({ number }) => number === urgent));
  pair.run(60_000);
  assert.equal(pair.received[1].length, 301);
  assert.equal(pair.outcomes[0].size, 301);
  assert.deepEqual(pair.toldAgain, []);
});

test("who does not know lanes gets one, and neither streams nor requests", () => {
  const pair = new SessionPair(2);
  pair.knowLanes(false);
  for (let number = 0; number < 20; number += 1) pair.send(0, `${number}`, { priority: "urgent", isOrdered: number % 2 === 0 });
  assert.ok(pair.sessions[0].lanes.outbounds.every(({ lane, isEmpty }) => isEmpty || lane === 0));
  pair.open("relay");
  pair.run(2_000);
  assert.deepEqual(texts(pair, 1), Array.from({ length: 20 }, (_, number) => `${number}`));
  assert.throws(() => pair.sessions[0].exchanges.open("", "normal"), /messages only/);
});

test("a lost fragment holds up nothing else without order", () => {
  const outbound = new Outbound(4, 1n);
  for (const size of [5, 20_000, 5]) outbound.enqueue(new Uint8Array(size), false);
  const inbound = new Inbound(4, 1 << 20);
  const order = [5, 2, 4, 1, 3];
  assert.deepEqual(order.map((sequence) => inbound.receive(outbound.fragment(sequence)).map(({ number }) => number)), [[3], [], [], [1], [2]]);
  for (const sequence of order) assert.deepEqual(inbound.receive(outbound.fragment(sequence)), []);
});

test("the note of a lane without order outlives a restart", () => {
  const outbound = new Outbound(5, 1n);
  for (let number = 1; number <= 6; number += 1) outbound.enqueue(utf8(`${number}`), true);
  const inbound = new Inbound(5, 1 << 20);
  for (const sequence of [2, 3, 6]) inbound.receive(outbound.fragment(sequence));
  const note = inbound.pollNote();
  assert.ok(inbound.commit(note));
  assert.equal(inbound.pollNote(), null);
  const restored = new Inbound(5, 1 << 20);
  restored.restore(structuredClone(note));
  assert.deepEqual([1, 2, 3, 4, 5, 6].flatMap((sequence) => restored.receive(outbound.fragment(sequence)).map(({ number }) => number)), [1, 4, 5]);
  // The writer knows which ones are through.
  assert.deepEqual(outbound.acknowledge(inbound.acknowledgement(false)).map(({ number }) => number), [2, 3, 6]);
  assert.deepEqual(outbound.acknowledge(inbound.acknowledgement(false)), []);
  outbound.sent(1, "relay");
  assert.equal(outbound.nextSequence("relay"), 4);
});

test("what never left expires at its deadline", () => {
  for (const knows of [true, false]) {
    const pair = new SessionPair(3);
    pair.knowLanes(knows);
    pair.send(0, "in time");
    const late = pair.send(0, "x".repeat(20_000), { deadline: 1_000 });
    pair.send(0, "after");
    pair.run(2_000);
    assert.deepEqual([...pair.outcomes[0]], [[late, "expired"]]);
    pair.open("relay");
    pair.run(2_000);
    assert.deepEqual(texts(pair, 1), ["in time", "after"]);
    assert.equal([...pair.outcomes[0].values()].filter((outcome) => outcome === "delivered").length, 2);
    assert.deepEqual(pair.toldAgain, []);
  }
});

test("the reader decides of what has left", () => {
  const pair = new SessionPair(5);
  pair.knowLanes();
  pair.open("relay");
  pair.run(1_000);
  // The acknowledgement is late: the message was handed on, and so it did not expire.
  const there = pair.send(0, "there", { deadline: pair.now + 60 });
  pair.run(3_000);
  assert.deepEqual([texts(pair, 1), pair.outcomes[0].get(there)], [["there"], "delivered"]);
  // Lost on its way, and withdrawn before it could be repeated.
  pair.dead.add("relay");
  const lost = pair.send(0, "lost", { deadline: pair.now + 100 });
  pair.run(150);
  assert.equal(pair.outcomes[0].get(lost), undefined, "it may have arrived");
  pair.dead.clear();
  pair.run(15_000);
  assert.deepEqual([texts(pair, 1), pair.outcomes[0].get(lost), pair.toldAgain], [["there"], "expired", []]);
});

test("what the application refuses, and what is too large, is rejected", () => {
  const pair = new SessionPair(6, [{}, { largestMessage: 10_000 }]);
  pair.knowLanes();
  pair.refuses = ({ content }) => content.length === 7;
  pair.open("relay");
  pair.send(0, "welcome");
  for (const [size, isOrdered] of [[9_000, true], [30_000, true], [30_000, false], [2_000, false]]) pair.send(0, "x".repeat(size), { isOrdered });
  pair.run(5_000);
  const tooLarge = "rejected: tooLarge";
  assert.deepEqual(Object.fromEntries(pair.outcomes[0]), { 1: "rejected: refused", 2: "delivered", 3: tooLarge, 4: tooLarge, 5: "delivered" });
  assert.equal(pair.sessions[1].lanes.incompleteBytes, 0);
});

test("a member that sends too much waits, and nothing is lost", () => {
  const pair = new SessionPair(8, [{}, { rateLimit: { messagesPerSecond: 100, bytesPerSecond: 1e9 } }]);
  pair.knowLanes();
  pair.open("connection");
  for (let number = 0; number < 1_500; number += 1) pair.send(0, `${number}`, { priority: "high" });
  pair.run(5_000);
  assert.ok(pair.received[1].length >= 300 && pair.received[1].length <= 1_200, `${pair.received[1].length}`);
  pair.run(20_000);
  assert.deepEqual(texts(pair, 1), Array.from({ length: 1_500 }, (_, number) => `${number}`));
});

test("a message of nothing but small pieces is put together, and one without end is let go", () => {
  const inbound = new Inbound(1, 1 << 20);
  const piece = (sequence, flags, payload) => ({ type: "data", lane: 1, stream: 1n, sequence, base: 1, message: 1, flags, payload });
  const last = 200_000;
  for (let sequence = 1; sequence < last; sequence += 1) inbound.receive(piece(sequence, sequence === 1 ? Flag.first : 0, new Uint8Array(1)));
  assert.equal(inbound.receive(piece(last, Flag.last, new Uint8Array(1)))[0].content.length, last);
  for (let sequence = last + 1; sequence < last + 200; sequence += 1) inbound.receive(piece(sequence, sequence === last + 1 ? Flag.first : 0, new Uint8Array(8_192)));
  assert.equal(inbound.heldBytes, 0);
});

test("random frames of lanes are refused or taken, and do no harm", () => {
  const draw = random(11);
  const session = new Session();
  session.setKnowsLanes(true);
  session.pathOpened("connection", 0);
  for (let number = 0; number < 40; number += 1) session.lanes.send(utf8(`${number}`), true, { priority: "high", isOrdered: number % 2 === 0 });
  let taken = 0;
  for (let round = 0; round < 5_000; round += 1) {
    const body = Uint8Array.from({ length: Math.floor(draw() * 76) }, () => (draw() < 0.67 ? 0 : Math.floor(draw() * 256)));
    const bytes = new Writer().u8(10 + Math.floor(draw() * 6)).u32(body.length).append(body).bytes;
    let frames;
    try {
      frames = parsePacket(bytes);
    } catch (error) {
      assert.equal(error.kind, "malformed");
      continue;
    }
    taken += 1;
    session.receive(frames, "connection", 0);
    while (session.pollPacket("connection", 1 << 18, 0));
    while (session.nextEvent());
    const writer = new Writer();
    for (const frame of frames) writeFrame(writer, frame);
  }
  assert.ok(taken > 300, `${taken}`);
});

for (let seed = 1; seed <= 16; seed += 1) {
  test(`each message once in its lane, handed on or expired, over paths that break, seed ${seed}`, () => {
    const pair = new SessionPair(seed);
    pair.loss = 0.2;
    pair.knowLanes();
    pair.open("relay");
    const sent = [new Map(), new Map()];
    const draw = random(seed * 77);
    const pick = (count) => Math.floor(draw() * count);
    for (let step = 0; step < 60; step += 1) {
      for (const side of [0, 1]) {
        for (let count = pick(5); count > 0; count -= 1) {
          const options = { priority: PRIORITIES[pick(4)], isOrdered: draw() < 0.5, deadline: pick(3) ? undefined : pair.now + 1 + pick(3_000) };
          const words = `${side} ${sent[side].size} ${"x".repeat(pick(30) ? 3 : 60_000)}`;
          sent[side].set(pair.send(side, words, options), { ...options, words });
        }
      }
      const fault = pick(12);
      const isOpen = pair.sessions[0].paths.connection.isOpen;
      if (fault === 0) pair.dead.delete("connection") || pair.dead.add("connection");
      if (fault === 1) pair.dead.delete("relay") || pair.dead.add("relay");
      if (fault === 2 && !isOpen) pair.open("connection");
      if (fault === 3 && isOpen && step > 20) pair.closeConnection();
      pair.run(100);
    }
    pair.heal();
    pair.run(40_000);
    assert.deepEqual(pair.toldAgain, []);
    for (const side of [0, 1]) {
      const got = pair.received[1 - side];
      assert.equal(new Set(got.map(({ number }) => number)).size, got.length, "one came twice");
      const came = new Map(got.map((message) => [message.number, message.text]));
      for (const [number, { words, deadline }] of sent[side]) {
        if (came.has(number)) assert.equal(came.get(number), words);
        assert.equal(pair.outcomes[side].get(number), came.has(number) ? "delivered" : "expired", `message ${number}`);
        assert.ok(came.has(number) || deadline !== undefined, `message ${number} is lost`);
      }
      for (const priority of PRIORITIES) {
        const numbers = got.map(({ number }) => number).filter((number) => sent[side].get(number).priority === priority && sent[side].get(number).isOrdered);
        assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
      }
      assert.ok(!pair.sessions[side].isOwed);
    }
  });
}
