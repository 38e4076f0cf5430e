// Requests and byte streams between two sessions: once, in order, with back-pressure, over paths that break.

import assert from "node:assert/strict";
import test from "node:test";
import { join, text, utf8 } from "../base/bytes.js";
import { ResetCode, Status } from "../session/control.js";
import { ReceivingDirection } from "../session/byte-stream.js";
import { random, SessionPair } from "./support/session-pair.js";

const NOW = { limit: Infinity, priority: /** @type {const} */ ("normal"), now: 0 };

function pairOf(seed, carrier = "connection") {
  const pair = new SessionPair(seed);
  pair.knowLanes();
  if (carrier) pair.open(carrier);
  return pair;
}

const told = (pair, side, type) => pair.exchanges[side].filter((event) => event.type === type);

test("a request is answered once, and its answer has what it says", () => {
  const pair = pairOf(1);
  pair.watch = (side, { type, id, action, payload }) => {
    if (type !== "request") return;
    const { exchanges } = pair.sessions[side];
    if (action === "double") exchanges.answer(id, Status.result, join(payload, payload));
    else exchanges.answer(id, action === "never" ? Status.refused : Status.unknownAction, utf8("no"));
  };
  const { exchanges } = pair.sessions[0];
  const ids = ["double", "never", "what"].map((action) => exchanges.request(action, utf8("ab"), NOW));
  pair.run(1_000);
  const responses = told(pair, 0, "response").map(({ id, outcome, payload }) => [ids.indexOf(id), outcome, text(payload)]);
  assert.deepEqual(responses, [[0, "answered", "abab"], [1, "refused", "no"], [2, "unknownAction", "no"]]);
  exchanges.answer(ids[0], Status.result, utf8("again"));
  pair.run(1_000);
  assert.equal(told(pair, 0, "response").length, 3);
});

test("when the time is over, or nobody waits, the other is told", () => {
  const pair = pairOf(2);
  const { exchanges } = pair.sessions[0];
  const late = exchanges.request("slow", utf8(""), { ...NOW, limit: 500 });
  const unwanted = exchanges.request("slow", utf8(""), NOW);
  pair.run(100);
  exchanges.cancel(unwanted);
  pair.run(100);
  assert.deepEqual(told(pair, 1, "cancelled").map(({ id }) => id), [unwanted]);
  pair.run(1_000);
  assert.deepEqual(told(pair, 1, "cancelled").map(({ id }) => id), [unwanted, late]);
  assert.deepEqual(told(pair, 0, "response").map(({ id, outcome }) => [id, outcome]), [[late, "timedOut"]]);
  pair.sessions[1].exchanges.answer(late, Status.result, utf8("too late"));
  pair.run(1_000);
  assert.equal(told(pair, 0, "response").length, 1);
});

test("who has too much to answer says so", () => {
  const pair = pairOf(3);
  for (let count = 0; count < 257; count += 1) pair.sessions[0].exchanges.request("slow", utf8(""), NOW);
  pair.run(1_000);
  assert.equal(told(pair, 1, "request").length, 256);
  assert.deepEqual(told(pair, 0, "response").map(({ outcome }) => outcome), ["busy"]);
});

test("requests and streams end with the run of the other, or when it knows none", () => {
  for (const [what, outcome, code] of [["restart", "interrupted", ResetCode.interrupted], ["unknown", "unsupported", ResetCode.unsupported]]) {
    const pair = what === "restart" ? pairOf(4) : new SessionPair(4);
    const { exchanges } = pair.sessions[0];
    exchanges.request("slow", utf8(""), NOW);
    exchanges.open("", "normal");
    pair.run(100);
    if (what === "restart") pair.sessions[0].peerRestarted(pair.now);
    else pair.knowLanes(false);
    pair.run(100);
    assert.deepEqual(told(pair, 0, "response").map((event) => event.outcome), [outcome]);
    assert.deepEqual(told(pair, 0, "streamEnded").map((event) => event.code), [code]);
    assert.ok(!pair.sessions[0].isOwed);
  }
});

/** Writes all of it as there is room, and reads as it comes. */
class Copy {
  read = [];
  #written = 0;

  constructor(pair, writer, bytes) {
    this.pair = pair;
    this.writer = writer;
    this.bytes = bytes;
  }

  write(id) {
    const { exchanges } = this.pair.sessions[this.writer];
    while (this.#written < this.bytes.length) {
      const count = exchanges.write(id, this.bytes.subarray(this.#written, this.#written + 50_000));
      if (!count) return;
      this.#written += count;
    }
    exchanges.finish(id);
  }

  take(id) {
    const { exchanges } = this.pair.sessions[1 - this.writer];
    for (let bytes; (bytes = exchanges.read(id)); ) this.read.push(bytes);
  }

  get isWhole() {
    return Buffer.compare(join(...this.read), this.bytes) === 0;
  }
}

function numbered(length) {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) bytes[index] = index * 31 + (index >> 8);
  return bytes;
}

for (let seed = 1; seed <= 8; seed += 1) {
  test(`a byte stream brings all of both directions over paths that break, seed ${seed}`, () => {
    const pair = pairOf(seed, "relay");
    pair.loss = 0.1;
    pair.delay.relay = 10;
    const copies = [new Copy(pair, 0, numbered(700_000)), new Copy(pair, 1, numbered(400_001))];
    pair.watch = (side, { type, id }) => {
      if (type === "streamOpened" || type === "streamWritable") copies[side].write(id);
      if (type === "streamReadable") copies[1 - side].take(id);
    };
    const id = pair.sessions[0].exchanges.open("copy", "normal");
    copies[0].write(id);
    const draw = random(seed * 13);
    for (let step = 0; step < 40; step += 1) {
      const fault = Math.floor(draw() * 8);
      const isOpen = pair.sessions[0].paths.connection.isOpen;
      if (fault === 0) pair.dead.delete("connection") || pair.dead.add("connection");
      if (fault === 1) pair.dead.delete("relay") || pair.dead.add("relay");
      if (fault === 2 && !isOpen) pair.open("connection");
      if (fault === 3 && isOpen) pair.closeConnection();
      pair.send(0, `${step}`);
      pair.run(100);
    }
    pair.heal();
    pair.run(30_000);
    assert.ok(copies.every(({ isWhole }) => isWhole), copies.map(({ read }) => join(...read).length).join(" and "));
    for (const { exchanges, isOwed } of pair.sessions) assert.deepEqual([exchanges.streams.length, isOwed], [0, false]);
    assert.equal(pair.received[1].length, 40);
  });
}

test("nobody reads: the writer stops at the limit, and goes on when somebody does", () => {
  const pair = pairOf(5);
  const copy = new Copy(pair, 0, numbered(4 << 20));
  pair.watch = (side, { type, id }) => type === "streamWritable" && side === 0 && copy.write(id);
  const id = pair.sessions[0].exchanges.open("copy", "normal");
  copy.write(id);
  pair.run(5_000);
  const { received } = pair.sessions[1].exchanges.progress(id);
  assert.equal(received, 1 << 20);
  assert.ok(pair.sessions[0].exchanges.stream(id).sending.held <= 1 << 20);
  pair.watch = (side, event) => {
    if (side === 0 && event.type === "streamWritable") copy.write(id);
    if (side === 1 && event.type === "streamReadable") copy.take(id);
  };
  copy.take(id);
  pair.run(5_000);
  assert.ok(copy.isWhole);
});

test("a reset ends both directions, and what goes beyond the limit is one", () => {
  const pair = pairOf(6);
  const first = pair.sessions[0].exchanges.open("a", "high");
  pair.run(100);
  pair.sessions[0].exchanges.reset(first, 256);
  pair.run(100);
  assert.deepEqual(told(pair, 1, "streamEnded").map(({ code }) => code), [256]);
  const second = pair.sessions[0].exchanges.open("b", "high");
  pair.run(100);
  pair.sessions[1].receive([{ type: "bytes", id: second, offset: 2 << 20, isEnd: false, payload: new Uint8Array(9) }], "connection", pair.now);
  pair.run(100);
  assert.deepEqual(told(pair, 0, "streamEnded").map(({ code }) => code), [ResetCode.violation]);
  assert.equal(pair.sessions[1].exchanges.streams.length, 0);
});

test("streams beyond the 256th are reset as too many", () => {
  const pair = pairOf(7);
  for (let count = 0; count < 200; count += 1) {
    pair.sessions[0].exchanges.open("a", "normal");
    pair.sessions[1].exchanges.open("b", "normal");
  }
  pair.run(2_000);
  const codes = [0, 1].flatMap((side) => told(pair, side, "streamEnded").map(({ code }) => code));
  assert.deepEqual([codes.length, new Set(codes)], [288, new Set([ResetCode.tooMany])]);
});

test("pieces that overlap, come early or again count once, and hold no more than the limit", () => {
  const direction = new ReceivingDirection(100);
  const piece = (offset, length, isEnd = false) => direction.receive({ type: "bytes", id: 1n, offset, isEnd, payload: numbered(offset + length).subarray(offset) });
  assert.ok(piece(50, 10) && piece(0, 30) && piece(20, 20) && piece(0, 30));
  assert.equal(direction.received, 40);
  assert.ok(piece(40, 10));
  assert.equal(direction.received, 60);
  assert.ok(!piece(95, 6), "beyond the limit");
  assert.ok(piece(60, 10, true) && !piece(60, 11) && !piece(60, 5, true));
  assert.ok(direction.confirms() && !direction.confirms());
  const got = [];
  for (let bytes; (bytes = direction.read()); ) got.push(bytes);
  assert.deepEqual(join(...got), numbered(70));
  assert.ok(direction.isOver);
});
