// The relay path: datagrams through inbox souls of the GUN mesh (docs/protocol.md, "Inbox").

import { base64url, fromBase64url, Reader, Refusal, Writer } from "../base/bytes.js";
import { keyIDOf } from "../sealing/envelope.js";
import { openSignal } from "../sealing/signal.js";
import { parsePacket } from "../session/frame.js";
import { dayOf } from "./presence.js";

const Type = Object.freeze({ envelope: 1, signal: 2, introduction: 3 });
/** The largest datagram, in bytes. */
export const LARGEST_DATAGRAM = 24 * 1024;

export const envelopeDatagram = (envelope) => new Writer().u8(Type.envelope).append(envelope).bytes;
export const signalDatagram = (sealed) => new Writer().u8(Type.signal).append(sealed).bytes;
export const introduction = (presence, datagram) =>
  new Writer().u8(Type.introduction).prefixed16(presence).append(datagram).bytes;

export class RelayPath {
  #engine;

  /** @param {import("./engine.js").Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /** Puts a datagram into a member's inbox, after our presence record if it may not know us. @param {import("./member.js").Member} member @param {Uint8Array} datagram */
  async send(member, datagram) {
    const engine = this.#engine;
    if (!engine.gun.isConnected) return;
    await this.#put(member, member.knowsUs ? datagram : introduction(await engine.presence.sealed(), datagram));
  }

  /**
   * Brings a member a record of its own, of a former run, that is later than what it says now: through a relay, or else a third member.
   * @param {import("./member.js").Member} member @param {Uint8Array} record
   */
  async show(member, record) {
    const datagram = introduction(record, new Uint8Array());
    if (this.#engine.gun.isConnected) await this.#put(member, datagram);
    else this.#engine.mesh.sendNow(member, datagram);
  }

  /** Puts a datagram into a member's inbox as it is. */
  async #put(member, content) {
    const engine = this.#engine;
    const day = dayOf(engine.wall());
    if (member.inboxDay !== day) {
      await this.clear(member);
      member.inboxDay = day;
    }
    const [soul, tag] = await Promise.all([engine.topic.inboxSoul(member.peer, day), engine.presence.tag()]);
    const { slot, state } = member.slots.take(engine.now(), engine.wall());
    engine.gun.put(soul, [[`${tag}/${slot}`, base64url(content)]], state);
  }

  /** Sets what we left in a member's inbox to `null`. */
  async clear(member) {
    const engine = this.#engine;
    const { slots, state } = member.slots.clear(engine.wall());
    if (!slots.length) return;
    const [soul, tag] = await Promise.all([engine.topic.inboxSoul(member.peer, member.inboxDay), engine.presence.tag()]);
    engine.gun.put(soul, slots.map((slot) => [`${tag}/${slot}`, null]), state);
  }

  /** @param {string} characters base64url, from our inbox soul */
  async take(characters) {
    await this.takeDatagram(fromBase64url(characters), "relay");
  }

  /** Takes a datagram that a relay brought, or a third member. @param {Uint8Array} datagram @param {"relay" | "mesh"} carrier */
  async takeDatagram(datagram, carrier, depth = 0) {
    if (datagram.length > LARGEST_DATAGRAM) throw new Refusal("malformed");
    const plane = carrier === "mesh" ? "mesh" : "gun";
    const reader = new Reader(datagram);
    switch (reader.u8()) {
      case Type.envelope:
        return this.#takeEnvelope(reader.rest(), carrier);
      case Type.signal: {
        const { sessionKey, topic, signaling } = this.#engine;
        return signaling.take(await openSignal(reader.rest(), sessionKey, topic), plane);
      }
      case Type.introduction: {
        if (depth) throw new Refusal("malformed");
        const presence = reader.prefixed16();
        // A record that is refused does not spoil what follows it.
        await this.#engine.presence.take(presence, plane).catch((error) => this.#engine.refuse(error));
        const content = reader.rest();
        return content.length ? this.takeDatagram(content, carrier, 1) : undefined;
      }
      default:
        throw new Refusal("malformed");
    }
  }

  async #takeEnvelope(envelope, carrier) {
    const engine = this.#engine;
    const member = engine.byKeyID.get(keyIDOf(envelope));
    if (!member?.cipher) throw new Refusal("notForUs");
    if (member.blocked.has(carrier)) return;
    const { cipher } = member;
    const frames = parsePacket(await cipher.open(envelope, engine.now()));
    if (member.cipher !== cipher) return;
    engine.runs.takeRekeying(frames, member);
    member.knowsUs = true;
    if (member.refusal) return engine.admission.sayRefused(member);
    engine.admission.heard(member, frames);
    if (!engine.paths.has(carrier)) return;
    engine.runs.wake(member);
    member.session.receive(frames, carrier, engine.now());
    engine.pump(member);
  }
}
