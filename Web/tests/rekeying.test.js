// The keys of a session are replaced as long as it lasts; on a clock of our own.

import assert from "node:assert/strict";
import test from "node:test";
import { Refusal, text, utf8 } from "../base/bytes.js";
import { SessionParties } from "../sealing/envelope.js";
import { Identity, SessionKey } from "../sealing/keys.js";
import { REKEYING, SessionCipher } from "../sealing/session-cipher.js";
import { Topic } from "../sealing/topic.js";

const HOUR = 3_600_000;

async function pair(limits = REKEYING) {
  const topic = await Topic.of(new Uint8Array(20));
  const sides = await Promise.all([0, 1].map(async () => ({ identity: await Identity.generate(), session: await SessionKey.generate() })));
  const parties = (a, b) => new SessionParties(a.identity.peer, b.identity.peer, topic);
  sides.sort((a, b) => (parties(a, b).ownIsLower ? -1 : 1));
  const make = (a, b, now) =>
    SessionCipher.of({ own: a.session, peerKey: b.session.point, parties: parties(a, b), identity: a.identity, now, limits });
  const [lower, higher] = [await make(sides[0], sides[1], 0), await make(sides[1], sides[0], 0)];
  return { lower, higher, anew: (now) => make(sides[1], sides[0], now) };
}

/** Hands on what they have to say to each other, until there is nothing. */
async function talk(a, b, now, loses = () => false) {
  for (let more = true; more; ) {
    more = false;
    for (const [from, to] of [[a, b], [b, a]]) {
      for (const frame of from.frames.splice(0)) {
        more = true;
        if (!loses(frame)) await to.receive(frame, now);
      }
    }
  }
}

const says = async (from, to, now, what = "hello") => assert.equal(text(await to.open(await from.seal(utf8(what)), now)), what);
const refuses = (cipher, envelope, now) => assert.rejects(cipher.open(envelope, now), Refusal);

test("an exchange takes both to new keys, and what was under way still opens", async () => {
  const { lower, higher } = await pair();
  await says(lower, higher, 0);
  const [early, late] = [await lower.seal(utf8("early")), await higher.seal(utf8("late"))];
  await lower.begin(0);
  await talk(lower, higher, 0);
  assert.deepEqual([lower.epoch, higher.epoch], [1, 1]);
  await says(lower, higher, 0);
  await says(higher, lower, 0);
  assert.equal(text(await higher.open(early, 1_000)), "early");
  assert.equal(text(await lower.open(late, 1_000)), "late");
  assert.equal(lower.nextTimeout, HOUR, "nothing is repeated any more");
});

test("each hour, and each so many bytes; former keys are gone after the grace", async () => {
  const { lower, higher } = await pair({ ...REKEYING, largestEpoch: 10_000 });
  await lower.begin(0);
  await talk(lower, higher, 0);
  const under = [await lower.seal(utf8("in time")), await lower.seal(utf8("too late"))];
  await lower.handleTimeout(HOUR - 1);
  assert.equal(lower.frames.length, 0);
  await lower.handleTimeout(HOUR);
  await talk(lower, higher, HOUR);
  assert.deepEqual([lower.epoch, higher.epoch], [2, 2]);
  assert.equal(text(await higher.open(under[0], HOUR + 29_999)), "in time");
  await refuses(higher, under[1], HOUR + 30_000);
  for (let count = 0; count < 10; count += 1) await lower.seal(new Uint8Array(1_000));
  await lower.handleTimeout(HOUR + 1);
  await talk(lower, higher, HOUR + 1);
  assert.deepEqual([lower.epoch, higher.epoch], [3, 3]);
});

test("whatever is lost is said again, and the first envelope says it too", async () => {
  const { lower, higher } = await pair();
  let lost = 0;
  const loses = ({ type }) => (lost += 1) <= 3 || type === "switched";
  await lower.begin(0);
  let now = 0;
  for (; lower.epoch === 0; now += 1_000) {
    await talk(lower, higher, now, loses);
    await lower.handleTimeout(now + 1_000);
  }
  assert.equal(higher.epoch, 0, "no word of the switch has come");
  await says(higher, lower, now);
  await says(lower, higher, now);
  assert.equal(higher.epoch, 1);
  await says(higher, lower, now);
  lower.frames = [];
  await lower.handleTimeout(now + 60_000);
  assert.equal(lower.frames.length, 0, "an envelope of the new epoch has answered");
});

test("who does not know these frames stays at the first keys, and is not pestered", async () => {
  const { lower, higher } = await pair();
  await lower.begin(0);
  let said = 0;
  for (let now = 0; now < 2 * HOUR; now += 1_000) {
    if (now >= lower.nextTimeout) await lower.handleTimeout(now);
    said += lower.frames.splice(0).length;
  }
  assert.equal(said, 2 * REKEYING.attempts);
  await says(lower, higher, 2 * HOUR);
});

test("with one who has forgotten it begins anew; forged words change nothing", async () => {
  const { lower, higher, anew } = await pair();
  await lower.begin(0);
  await talk(lower, higher, 0);
  const again = await anew(100_000);
  await says(again, lower, 100_000);
  assert.equal(lower.epoch, 0);
  await talk(lower, again, 100_000);
  assert.deepEqual([lower.epoch, again.epoch], [1, 1]);
  const fresh = await pair();
  await fresh.lower.begin(0);
  const [{ signature, ...frame }] = fresh.lower.frames;
  await assert.rejects(fresh.higher.receive({ ...frame, signature: signature.toReversed?.() ?? signature.slice().reverse() }, 0), Refusal);
  await assert.rejects(fresh.lower.receive({ ...frame, signature }, 0), Refusal, "only the lower one begins");
  assert.deepEqual(fresh.higher.frames, []);
});
