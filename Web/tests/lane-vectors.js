// Checks this implementation with the known answers for lanes, requests and byte streams, in Node.js and in browsers alike:
// what the Swift implementation does, step by step.

import { fromHexadecimal, hexadecimal, Refusal, Writer } from "../base/bytes.js";
import { ReceivingDirection, SendingDirection } from "../session/byte-stream.js";
import { controlBytes, parseControl } from "../session/control.js";
import { parsePacket, writeFrame } from "../session/frame.js";
import { Inbound } from "../session/inbound.js";
import { Outbound } from "../session/outbound.js";
import { SendScheduler } from "../session/scheduler.js";

function equal(a, b, what) {
  if (a !== b) throw new Error(`${what}: ${a} is not ${b}`);
}

const packetOf = (...frames) => hexadecimal(frames.reduce((writer, frame) => writeFrame(writer, frame), new Writer()).bytes);
const content = (count) => Uint8Array.from({ length: count }, (_, index) => index * 7);

/** A frame of a conversation as the vectors tell it. @param {import("../session/frame.js").Frame} frame */
export const describedFrame = (frame) => {
  switch (frame.type) {
    case "data":
      return `${frame.lane ? `lane ${frame.lane} ` : ""}data ${frame.stream} ${frame.sequence} ${frame.base} ${frame.message} ${frame.flags} ${hexadecimal(frame.payload)}`;
    case "acknowledgement": {
      const { lane, outcomes, bitmap } = frame;
      const plain = `acknowledgement ${frame.stream} ${frame.received} ${frame.durable} ${frame.window}`;
      if (!lane && !outcomes.length && !bitmap.length) return plain;
      return `${plain} lane ${lane} [${outcomes.map(({ message, code }) => `"${message}:${code}"`).join(", ")}] ${hexadecimal(bitmap)}`;
    }
    case "confirmed":
      return `confirmed ${frame.lane} ${frame.stream} ${frame.base}`;
    case "bytes":
      return `bytes ${frame.id} ${frame.offset} ${frame.isEnd} ${hexadecimal(frame.payload)}`;
    case "credit":
      return `credit ${frame.id} ${frame.received} ${frame.limit}`;
    case "refused":
      return `refused ${frame.reason}`;
    default:
      return frame.type;
  }
};

const describedControl = (message) => {
  switch (message?.type) {
    case undefined:
      return undefined;
    case "request":
      return `request ${message.id} ${message.limit} ${message.action} ${hexadecimal(message.payload)}`;
    case "response":
      return `response ${message.id} ${message.status} ${hexadecimal(message.payload)}`;
    case "open":
      return `open ${message.id} ${message.limit} ${message.name}`;
    case "reset":
      return `reset ${message.id} ${message.code}`;
    default:
      return `${message.type} ${message.id}`;
  }
};

/** What a reader does. @param {{lane: number, largest: number}} script */
function reader({ lane, largest }) {
  let inbound = new Inbound(lane, largest);
  let last = null;
  return ({ action, bytes, number }) => {
    switch (action) {
      case "receive": {
        const results = parsePacket(fromHexadecimal(bytes)).flatMap((frame) => inbound.receive(frame, number)).map((message) => {
          last = message;
          return `${message.number} ${message.isText} ${message.content.length} ${message.last}`;
        });
        return [...results, `expected ${inbound.expected} held ${inbound.heldBytes}`];
      }
      case "refuse":
        inbound.refuse(last);
        return [];
      case "note": {
        const note = inbound.pollNote();
        if (!note) return ["none"];
        inbound.commit(note);
        const outcomes = note.outcomes.map(({ sequence, message, code }) => ` ${sequence}:${message}:${code}`).join("");
        return [`${note.stream} ${note.next} ${hexadecimal(note.beyond)}${outcomes}`];
      }
      case "acknowledge": {
        const frame = inbound.acknowledgement(number === 1);
        return [frame ? packetOf(frame) : "none"];
      }
      case "confirm":
        inbound.confirm(number);
        return [];
      case "restart": {
        const { note } = inbound;
        inbound = new Inbound(lane, largest);
        inbound.restore(note);
        return [];
      }
      default:
        throw new TypeError(action);
    }
  };
}

/** What a writer does. @param {{lane: number}} script */
function writer({ lane }) {
  const outbound = new Outbound(lane, 77n);
  return ({ action, bytes, number }) => {
    switch (action) {
      case "enqueue": {
        const entry = outbound.enqueue(fromHexadecimal(bytes), false, { number: outbound.nextMessage + 1, deadline: number });
        return [`${entry.number} ${entry.first}`];
      }
      case "send": {
        const results = [];
        for (let sequence; results.length < (number ?? Infinity) && (sequence = outbound.nextSequence("relay")) !== null; ) {
          const packet = packetOf(outbound.fragment(sequence));
          outbound.sent(sequence, "relay");
          results.push(`${packet.slice(0, 96)} ${packet.length / 2}`);
        }
        return results;
      }
      case "rewind":
        outbound.rewind("relay");
        return [];
      case "restarted":
        outbound.peerRestarted();
        return [];
      case "acknowledged": {
        const settled = parsePacket(fromHexadecimal(bytes)).flatMap((frame) => outbound.acknowledge(frame));
        const results = settled.map((each) => `${each.number} ${each.outcome ?? "known"}${each.reason ? ` ${each.reason}` : ""}`);
        return [...results, `base ${outbound.base} received ${outbound.received} bytes ${outbound.bytes}`];
      }
      case "expire":
      case "expire plain":
        return outbound.expire(number, action === "expire").map(({ entry, isExpired }) => `${entry.number} ${isExpired}`);
      default:
        throw new TypeError(action);
    }
  };
}

/** Both directions of a byte stream. */
function stream() {
  const sending = new SendingDirection(20_000);
  const receiving = new ReceivingDirection(20_000);
  return ({ action, bytes, number }) => {
    switch (action) {
      case "write":
        return [`${sending.write(content(number), 30_000)} held ${sending.held}`];
      case "finish":
        sending.finish();
        return [];
      case "send": {
        const chunk = sending.next("relay");
        if (chunk === null) return ["none"];
        const piece = sending.send(chunk, 5n, "relay");
        return [`${piece.offset} ${piece.payload.length} ${piece.isEnd}`];
      }
      case "credit":
        return [`${sending.credit(number, number + 20_000)} held ${sending.held}`];
      case "finished":
        sending.finished();
        return [`${sending.isOver} held ${sending.held}`];
      case "receive":
        return parsePacket(fromHexadecimal(bytes)).map(
          (piece) => `${receiving.receive(piece)} ${receiving.received} ${receiving.isReadable} ${receiving.confirms()}`);
      case "read": {
        const read = receiving.read();
        return [`${read?.length ?? -1} ${receiving.grant(number)} ${receiving.limit} ${receiving.isOver}`];
      }
      default:
        throw new TypeError(action);
    }
  };
}

/** @param {object} vectors the parsed file @returns {number} how many checks were passed; throws at the first that fails */
export function checkLanes(vectors) {
  let count = 0;
  const is = (a, b, what) => {
    equal(a, b, what);
    count += 1;
  };
  for (const { packet, frames } of vectors.packets) {
    let parsed;
    try {
      parsed = parsePacket(fromHexadecimal(packet));
    } catch (error) {
      is(error instanceof Refusal && error.kind, "malformed", packet);
      is(frames, undefined, packet);
      continue;
    }
    is(parsed.map(describedFrame).join("\n"), frames?.join("\n"), "frames");
    is(packetOf(...parsed), packet, "packet");
  }
  for (const { bytes, message } of vectors.controls) {
    const parsed = parseControl(fromHexadecimal(bytes));
    is(describedControl(parsed), message, "control message");
    if (parsed) is(hexadecimal(controlBytes(parsed)), bytes, "control message");
  }
  for (const [scripts, make] of [[vectors.inbound, reader], [vectors.outbound, writer], [vectors.streams, stream]]) {
    for (const script of scripts) {
      const perform = make(script);
      script.steps.forEach((step, index) => is(perform(step).join("\n"), step.results.join("\n"), `${script.what}, step ${index + 1}: ${step.action}`));
    }
  }
  const scheduler = new SendScheduler();
  const ranks = vectors.schedule.map(() => {
    const { rank } = scheduler.choose(() => true);
    scheduler.sent(1_000, rank);
    return rank;
  });
  is(ranks.join(), vectors.schedule.join(), "schedule");
  return count;
}
