// Checks this implementation with the known answers of docs/protocol.md, in Node.js and in browsers alike.

import { base64url, fromHexadecimal, hexadecimal, Refusal } from "../base/bytes.js";
import { EnvelopeCipher, firstKeys, furtherKeys, SessionParties } from "../sealing/envelope.js";
import { Identity, SessionKey, verifies } from "../sealing/keys.js";
import { openItem, prekeyOf, prekeysSigned, sealItem } from "../sealing/mail.js";
import { openPresence, sealPresence } from "../sealing/presence.js";
import { exchanged } from "../sealing/session-cipher.js";
import { Kind, openOpenOffer, openSignal, parseTrackerText, sealOpenOffer, sealSignal, trackerText } from "../sealing/signal.js";
import { infoHashOfName, Topic } from "../sealing/topic.js";
import { framesOfMail } from "../session/mail.js";
import { parsePacket, prekeysBody, writeFrame } from "../session/frame.js";
import { Writer } from "../base/bytes.js";
import { describedFrame } from "./lane-vectors.js";

function equal(a, b, what) {
  if (a !== b) throw new Error(`${what}: ${a} is not ${b}`);
}

async function refused(body, kind, what) {
  try {
    await body();
  } catch (error) {
    return equal(error instanceof Refusal ? error.kind : String(error), kind, what);
  }
  throw new Error(`${what}: it was not refused`);
}

function sessionKey(privateNumber, publicKey) {
  const half = publicKey.length / 2;
  const [x, y, d] = [publicKey.slice(0, half), publicKey.slice(half), privateNumber].map((n) => base64url(fromHexadecimal(n)));
  return SessionKey.of({ x, y, d });
}

async function keys({ pub, priv, sessionPrivate, sessionPublic }) {
  return { identity: await Identity.fromSEA({ pub, priv }), session: await sessionKey(sessionPrivate, sessionPublic) };
}

const described = (frame) => {
  switch (frame.type) {
    case "data":
    case "acknowledgement":
    case "confirmed":
      return describedFrame(frame);
    case "deadline":
      return `deadline ${frame.message} ${frame.at}`;
    case "bye":
      return "bye";
    case "neighbours":
      return `neighbours ${frame.forwards} [${frame.ids.join(", ")}]`;
    case "presence":
      return `presence ${hexadecimal(frame.record)}`;
    case "forward":
      return `forward ${frame.peer} ${hexadecimal(frame.datagram)}`;
    case "forwarded":
      return `forwarded ${hexadecimal(frame.datagram)}`;
    default:
      return `${frame.type} ${frame.id}`;
  }
};

/**
 * @param {object} vectors the parsed file, its numbers beyond 2^53 as texts
 * @returns {Promise<number>} how many checks were passed; throws at the first that fails
 */
export async function check(vectors) {
  let count = 0;
  const is = (a, b, what) => {
    equal(a, b, what);
    count += 1;
  };
  const alice = await keys(vectors.members.alice);
  const bob = await keys(vectors.members.bob);
  const members = { alice, bob };

  for (const { name, secret, infoHash } of vectors.names) is(hexadecimal(await infoHashOfName(name, secret)), infoHash, name);

  for (const vector of vectors.topics) {
    const topic = await Topic.of(fromHexadecimal(vector.infoHash), vector.secret);
    is(hexadecimal(topic.id), vector.id, "topic id");
    is(await topic.presenceSoul(vector.day), vector.presenceSoul, "presence soul");
    is(await topic.inboxSoul(alice.identity.peer, vector.day), vector.inboxSoul, "inbox soul");
    is(await topic.tag(alice.identity.peer), vector.tag, "tag");
    const opened = await topic.open(fromHexadecimal(vector.sealed), vector.sealedWord);
    is(hexadecimal(opened), vector.sealedPlaintext, "sealed to the topic");
    await refused(() => topic.open(fromHexadecimal(vector.sealed), "another"), "notForUs", "another word");
  }

  const topic = await Topic.of(fromHexadecimal(vectors.topics[0].infoHash));
  for (const vector of vectors.presences) {
    const record = await openPresence(fromHexadecimal(vector.sealed), topic);
    for (const field of ["peer", "timestamp", "isLeaving", "knowsLanes", "keepsState", "takesLaneMail", "name"]) is(record[field], vector[field], `presence ${field}`);
  }
  const own = { peer: alice.identity.peer, sessionKey: alice.session.point, timestamp: 5, isLeaving: false, name: "Ünal" };
  is((await openPresence(await sealPresence(own, alice.identity, topic), topic)).name, "Ünal", "our own presence");

  for (const vector of vectors.envelopes) {
    const [from, to] = [members[vector.sender], members[vector.receiver]];
    const pair = async (a, b, firstCounter) => {
      const parties = new SessionParties(a.identity.peer, b.identity.peer, topic);
      return new EnvelopeCipher(await firstKeys(a.session, b.session.point, parties), firstCounter);
    };
    const sender = await pair(from, to, BigInt(vector.counter));
    is(sender.keyID.toString(16), vector.keyID, "key id");
    is(hexadecimal(await sender.seal(fromHexadecimal(vector.packet))), vector.envelope, "envelope");
    const receiver = await pair(to, from, 0n);
    is(hexadecimal(await receiver.open(fromHexadecimal(vector.envelope))), vector.packet, "packet");
    await refused(() => receiver.open(fromHexadecimal(vector.envelope)), "replayed", "an envelope again");
  }

  count += await checkRekeying(vectors.rekeying, members, topic);

  count += await checkMail(vectors.mail, members, topic);

  for (const vector of vectors.signals) {
    const sealed = fromHexadecimal(vector.sealed);
    const signal = vector.isOpenOffer ? await openOpenOffer(sealed, topic) : await openSignal(sealed, bob.session, topic);
    const content = signal.kind === Kind.candidates ? [signal.ufrag, ...signal.candidates].join("\n") : signal.sdp ?? "";
    is(content, vector.content, "content of a signal");
    for (const field of ["kind", "timestamp", "attempt"]) is(signal[field], vector[field], `signal ${field}`);
    for (const field of ["id", "connection"]) is(String(signal[field]), String(vector[field]), `signal ${field}`);
    is(signal.sender, alice.identity.peer, "sender");
    is(signal.recipient, vector.isOpenOffer ? null : bob.identity.peer, "recipient");
    const again = vector.isOpenOffer
      ? await openOpenOffer(await sealOpenOffer(signal, alice.identity, topic), topic)
      : await openSignal(await sealSignal(signal, alice.identity, topic, bob.session.point), bob.session, topic);
    is(again.kind, vector.kind, "a signal of our own");
  }

  const carried = parseTrackerText(vectors.trackerText);
  is((await openPresence(carried.presence, topic)).name, vectors.presences[0].name, "presence through a tracker");
  is((await openOpenOffer(carried.signal, topic)).kind, Kind.offer, "offer through a tracker");
  is(trackerText(carried.presence, carried.signal), vectors.trackerText, "tracker text");

  for (const { packet, frames } of vectors.frames) {
    const parsed = parsePacket(fromHexadecimal(packet));
    is(parsed.map(described).join("\n"), frames.join("\n"), "frames");
    const writer = new Writer();
    for (const frame of parsed) writeFrame(writer, frame);
    // What is of a later version is not written again.
    if (!packet.startsWith("63")) is(hexadecimal(writer.bytes), packet, "packet");
  }

  for (const { what, kind, bytes, refusal } of vectors.refused) {
    const data = fromHexadecimal(bytes);
    const open = { presence: () => openPresence(data, topic), signal: () => openSignal(data, bob.session, topic) }[kind];
    await refused(open ?? (async () => parsePacket(data)), refusal, what);
    count += 1;
  }
  return count;
}

/** One exchange, and what both seal with its keys. @returns {Promise<number>} how many checks were passed */
async function checkRekeying(vector, members, topic) {
  const [lower, higher] = vector.lower === "alice" ? [members.alice, members.bob] : [members.bob, members.alice];
  const [x, y] = [await sessionKey(vector.lowerPrivate, vector.lowerPublic), await sessionKey(vector.higherPrivate, vector.higherPublic)];
  const parties = new SessionParties(lower.identity.peer, higher.identity.peer, topic);
  const first = await firstKeys(lower.session, higher.session.point, parties);
  equal(parties.ownIsLower, true, "the lower one");
  const [offered, answered] = [exchanged("rekey", parties, first.sendID, 1, [x.point]), exchanged("rekeyed", parties, first.sendID, 1, [x.point, y.point])];
  for (const [packet, type, signer, key, signed, expected] of [
    [vector.rekey, "rekey", lower, x, offered, vector.offered], [vector.rekeyed, "rekeyed", higher, y, answered, vector.answered],
  ]) {
    equal(hexadecimal(signed), expected, `what is signed: ${type}`);
    const [frame] = parsePacket(fromHexadecimal(packet));
    equal(`${frame.type} ${frame.epoch} ${hexadecimal(frame.key)}`, `${type} 1 ${hexadecimal(key.point)}`, "a frame of an exchange");
    equal(await verifies(signer.identity.peer, frame.signature, signed), true, `the signature: ${type}`);
    const writer = new Writer();
    writeFrame(writer, frame);
    equal(hexadecimal(writer.bytes), packet, "its packet");
  }
  const ofHigher = new SessionParties(higher.identity.peer, lower.identity.peer, topic);
  const ciphers = { [vector.lower]: [x, y, parties], [vector.lower === "alice" ? "bob" : "alice"]: [y, x, ofHigher] };
  for (const { sender, receiver, keyID, packet, envelope } of vector.envelopes) {
    const cipher = async ([own, peer, of]) => new EnvelopeCipher(await furtherKeys(own, peer.point, first.root, 1, of));
    const sealing = await cipher(ciphers[sender]);
    equal(sealing.keyID.toString(16), keyID, "key id of epoch 1");
    equal(hexadecimal(await sealing.seal(fromHexadecimal(packet))), envelope, "envelope of epoch 1");
    equal(hexadecimal(await (await cipher(ciphers[receiver])).open(fromHexadecimal(envelope))), packet, "packet of epoch 1");
  }
  return 15;
}

/** An item of mail from Alice to Bob, and prekeys of his. @returns {Promise<number>} how many checks were passed */
async function checkMail(vector, { alice, bob }, topic) {
  const own = await sessionKey(vector.prekeyPrivate, vector.prekeyPublic);
  const sealed = fromHexadecimal(vector.item);
  equal(prekeyOf(sealed), vector.prekey, "prekey of an item");
  const item = await openItem(sealed, own, topic);
  equal(item.sender, alice.identity.peer, "sender of an item");
  equal(item.recipient, bob.identity.peer, "recipient of an item");
  equal(String(item.timestamp), String(vector.timestamp), "time of an item");
  equal(hexadecimal(item.packet), vector.packet, "packet of an item");
  const ours = await sealItem(item, alice.identity, { id: vector.prekey, key: own.point }, topic);
  equal(hexadecimal((await openItem(ours, own, topic)).packet), vector.packet, "an item of our own");
  await refused(() => openItem(sealed, bob.session, topic), "notForUs", "an item for another key");
  // Of several lanes, with deadlines: what is taken depends on the time.
  const frames = parsePacket(fromHexadecimal(vector.lanes.packet));
  equal(frames.map(described).join("\n"), vector.lanes.frames.join("\n"), "mail of several lanes");
  for (const { time, taken } of vector.lanes.readings) {
    equal(framesOfMail(frames, Number(time)).map(described).join("\n"), taken.join("\n"), `mail of several lanes at ${time}`);
  }
  const [frame] = parsePacket(fromHexadecimal(vector.bundle));
  equal(frame.lastResort.id, vector.prekey, "last resort");
  const signed = prekeysSigned(bob.identity.peer, alice.identity.peer, prekeysBody(frame), topic);
  equal(hexadecimal(signed), vector.bundleSigned, "what is signed of prekeys");
  equal(await verifies(bob.identity.peer, frame.signature, signed), true, "signature of prekeys");
  const writer = new Writer();
  writeFrame(writer, frame);
  equal(hexadecimal(writer.bytes), vector.bundle, "packet of prekeys");
  return 12 + vector.lanes.readings.length;
}

/** The vectors' numbers go beyond 2^53: those stay texts. @param {string} json */
export const parse = (json) => JSON.parse(json.replace(/:\s*(\d{17,})/g, ': "$1"'));
