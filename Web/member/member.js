// Everything that is kept of one other member.

import { isLower } from "../sealing/keys.js";
import { Session } from "../session/session.js";
import { Negotiation } from "../signaling/negotiation.js";
import { MemberMail } from "./mail.js";
import { MeshNeighbour, prefixOf } from "./neighbour.js";

const SLOTS = 48;
/** How long a conversation must be idle before its slots are cleared, in milliseconds. */
const IDLE = 10_000;
/** The states of our own keys are that much behind the clock, in milliseconds (docs/protocol.md, "Inbox"). */
export const STATE_LAG = 150_000;

/** The keys that datagrams to one member use, in turn, in its inbox soul. */
export class RelaySlots {
  /** When to clear the used slots. */
  clearAt = Infinity;
  #next = 0;
  #used = new Set();
  #lastState = 0;

  take(now, wall) {
    const slot = this.#next;
    this.#next = (this.#next + 1) % SLOTS;
    this.#used.add(slot);
    this.clearAt = now + IDLE;
    return { slot, state: this.#state(wall) };
  }

  clear(wall) {
    this.clearAt = Infinity;
    const slots = [...this.#used];
    this.#used.clear();
    return { slots, state: this.#state(wall) };
  }

  #state(wall) {
    this.#lastState = Math.max(this.#lastState + 0.001, wall - STATE_LAG);
    return this.#lastState;
  }
}

export class Member {
  /** @type {import("../sealing/presence.js").PresenceRecord | null} */
  presence = null;
  /** That record as it came: for those who do not know it, and for itself when it dates its next one before that. @type {Uint8Array | null} */
  sealedPresence = null;
  /** When it was shown that record last. */
  shownAt = -Infinity;
  /** @type {import("../sealing/session-cipher.js").SessionCipher | null} */
  cipher = null;
  /** By which key ids its envelopes are found. @type {bigint[]} */
  keyIDs = [];
  /** Away, and without a fresh record: neither dialled nor written to until something is heard of it. */
  isDormant = false;
  /** The member's present run has answered us: our presence record need not go with each datagram. */
  knowsUs = false;
  /** What the application was told of it last: nothing or that it has left, that it is here, or that it is away. @type {"absent" | "here" | "away"} */
  standing = "absent";
  /** @type {Set<"gun" | "tracker" | "mesh">} */
  planes = new Set();
  /** Fault injection: what would take these paths is dropped. @type {Set<string>} */
  blocked = new Set();
  /** The last signal that waits for an answer, and when it goes out again. */
  resend = null;
  /** The answer we gave last, for a repeated offer. @type {Uint8Array | null} */
  lastAnswer = null;
  /** When an ICE restart is tried (again), and how often it was. */
  restart = null;
  /** We take no part in conversations with it. @type {{reason: keyof typeof import("../session/session.js").REFUSALS, saidAt: number} | null} */
  refusal = null;
  /** It takes no part in conversations with us. @type {{reason: import("../session/outbound.js").Rejection, until: number} | null} */
  refusedUs = null;
  mesh = new MeshNeighbour();
  /** Our good-bye to it, sealed, while nothing but a third member carries one; and when it was. */
  farewell = null;
  farewellAt = -Infinity;
  slots = new RelaySlots();
  inboxDay = 0;
  /** What is sealed for this member leaves in the order in which it was said. */
  sealing = Promise.resolve();

  /**
   * @param {string} peer
   * @param {string} ownID
   * @param {number} now
   * @param {import("../session/lanes.js").Kept} [kept]
   * @param {Partial<typeof import("../session/session.js").SESSION>} [limits]
   */
  constructor(peer, ownID, now, kept, limits) {
    this.peer = peer;
    /** How neighbours speak of it. */
    this.prefix = prefixOf(peer);
    this.heardOfAt = now;
    this.mail = new MemberMail(now);
    this.mail.takesLanes = kept?.takesLaneMail ?? false;
    this.session = new Session(kept, limits);
    this.negotiation = new Negotiation(isLower(ownID, peer), now);
  }

  get name() {
    return this.presence?.name ?? "";
  }

  /** The connection is negotiated from the start, from a moment on; `Infinity` for not at all. @param {number} at */
  negotiateFrom(at) {
    this.negotiation = new Negotiation(this.negotiation.decides, at);
  }
}
