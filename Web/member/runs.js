// The runs of other members: who is there, under which keys, since when, and how to part.

import { byePacket } from "../session/frame.js";
import { FRESHNESS } from "./presence.js";
import { envelopeDatagram } from "./relay-path.js";

/** How old a good-bye that is kept ready may be: after 1,024 packets it would not be taken any more. */
const FAREWELL_AGE = 2_000;

/** @typedef {import("./member.js").Member} Member */

export class Runs {
  #engine;

  /** @param {import("./engine.js").Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /**
   * A member runs with a session key we had not seen.
   * @param {Member} member @param {import("../sealing/session-cipher.js").SessionCipher} cipher @param {boolean} isFirst no former run is known
   */
  start(member, cipher, isFirst) {
    const engine = this.#engine;
    if (isFirst) member.session.peerRestarted(engine.now(), true);
    else this.end(member);
    member.cipher = cipher;
    this.#noteKeys(member);
    member.session.setKnowsLanes(member.presence.knowsLanes);
    member.mail.takesLanes = member.presence.takesLaneMail;
    member.refusedUs = null;
    if (!member.refusal) this.begin(member);
  }

  /** Takes up a conversation from the start: by every path there is. @param {Member} member */
  begin(member) {
    const engine = this.#engine;
    member.negotiateFrom(engine.now());
    this.openRelayPath(member);
    engine.mesh.updatePath(member);
    engine.pump(member);
  }

  /** @param {Member} member */
  end(member) {
    // The session first: of one that is no more nobody is told which paths it has.
    member.session.peerRestarted(this.#engine.now());
    this.#engine.signaling.forget(member);
    member.cipher = null;
    this.#noteKeys(member);
    member.knowsUs = false;
    this.tellLeft(member);
  }

  /** Finds a member's envelopes by the keys that they may be sealed with, and by no others. */
  #noteKeys(member) {
    const { byKeyID } = this.#engine;
    for (const id of member.keyIDs) byKeyID.delete(id);
    member.keyIDs = member.cipher?.peerKeyIDs ?? [];
    for (const id of member.keyIDs) byKeyID.set(id, member);
  }

  /** Takes what a member's packet says of keys, and has them replaced when that is due (docs/protocol.md, "Rekeying"). */
  takeRekeying(frames, member) {
    const { cipher } = member;
    this.#engine.mail.takePrekeys(frames, member);
    for (const frame of frames) {
      if (["rekey", "rekeyed", "switched"].includes(frame.type)) this.rekey(member, () => cipher?.receive(frame, this.#engine.now()));
    }
    if (cipher) this.#noteKeys(member);
  }

  /** @param {Member} member @param {() => Promise<void> | undefined} body does something with its cipher */
  rekey(member, body) {
    const { cipher } = member;
    this.#engine.queue(async () => {
      if (!cipher || member.cipher !== cipher) return;
      await body();
      if (member.cipher !== cipher) return;
      for (const frame of cipher.frames.splice(0)) member.session.say(frame);
      this.#noteKeys(member);
      this.#engine.pump(member);
    });
  }

  tellLeft(member) {
    if (member.standing === "absent") return;
    member.standing = "absent";
    this.#engine.emit({ type: "left", peer: member.peer });
  }

  /** A member said good-bye: what we have for it waits for its return. @param {Member} member */
  left(member) {
    const now = this.#engine.now();
    this.end(member);
    member.session.indirectPathsClosed(now);
    member.negotiateFrom(Infinity);
    member.planes.clear();
  }

  /** Lets a member be of whom nothing was heard for so long that its record is stale. @param {Member} member */
  rest(member) {
    const now = this.#engine.now();
    if (member.isDormant || member.session.isUp || now - member.heardOfAt <= FRESHNESS) return;
    member.isDormant = true;
    member.session.indirectPathsClosed(now);
    this.#engine.signaling.endConnection(member);
  }

  /** Something was heard of a member. @param {Member} member */
  wake(member) {
    if (!member.isDormant) return;
    member.isDormant = false;
    member.negotiation.hurry(this.#engine.now());
    this.openRelayPath(member);
    this.#engine.mesh.updatePath(member);
  }

  /** Gives a member's session its relay path, when there is one. @param {Member} member */
  openRelayPath(member) {
    const { gun, paths, admission } = this.#engine;
    if (!gun.isConnected || !paths.has("relay") || !member.cipher || member.isDormant || !admission.isWelcome(member)) return;
    member.session.pathOpened("relay", this.#engine.now());
    this.#engine.pump(member);
  }

  // Good-byes.

  /** When {@link keepFarewell} is due. @param {Member} member */
  farewellAt(member) {
    return member.session.path === "mesh" ? member.farewellAt + FAREWELL_AGE : Infinity;
  }

  /** A good-bye for a member that nothing but a third one reaches, sealed while there is time. @param {Member} member */
  keepFarewell(member) {
    const engine = this.#engine;
    if (member.session.path !== "mesh" || !member.cipher) return (member.farewell = null);
    if (engine.now() < this.farewellAt(member)) return;
    member.farewellAt = engine.now();
    engine.inTurn(member, async () => (member.farewell = member.cipher && envelopeDatagram(await member.cipher.seal(byePacket()))));
  }
}
