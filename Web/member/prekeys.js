// The private halves of this member's prekeys, kept with its state and destroyed once used; and those that it holds of others.

import { randomBytes, Reader } from "../base/bytes.js";
import { SessionKey } from "../sealing/keys.js";

/** How many one-time keys each other member is given. */
export const ONE_TIME = 32;
const DAY = 86_400_000;
export const LAST_RESORT_LIFETIME = 7 * DAY;
export const MAIL_LIFETIME = 14 * DAY;
/** How many keys there may be: older one-time keys make room. */
const MOST = 16_384;

export class OwnPrekeys {
  /** @type {Map<number, {isLastResort: boolean, madeAt: number, key: SessionKey}>} */
  #kept = new Map();
  #keeping;

  /** @param {import("./keeping.js").Keeping} keeping @param {Map<string, any>} records what an earlier run kept */
  constructor(keeping, records) {
    this.#keeping = keeping;
    for (const [name, { isLastResort, madeAt, privateKey, point }] of records) {
      this.#kept.set(Number(name), { isLastResort, madeAt, key: new SessionKey(privateKey, point) });
    }
  }

  /** The private half. @param {number} id @returns {SessionKey | undefined} */
  key(id) {
    return this.#kept.get(id)?.key;
  }

  /**
   * What another is given of ours, by what it holds; `null` when that is enough.
   * @param {import("../session/frame.js").Stock} stock @param {number} wall
   */
  async bundle(stock, wall) {
    this.#expire(wall);
    const lastResort = await this.#lastResort(wall);
    const missing = Math.max(0, ONE_TIME - stock.oneTime);
    if (missing * 2 <= ONE_TIME && stock.lastResort === lastResort.id) return null;
    const oneTime = [];
    for (let count = 0; count < missing; count += 1) {
      const { id, key } = await this.#make(false, wall);
      oneTime.push({ id, key: key.point });
    }
    return {
      type: "prekeys", lastResort: { id: lastResort.id, key: lastResort.key.point },
      expiry: lastResort.madeAt + LAST_RESORT_LIFETIME, oneTime,
    };
  }

  /** What a one-time key opened is noted for good: the key is destroyed. */
  used(id) {
    if (this.#kept.get(id)?.isLastResort === false) this.#forget(id);
  }

  /** The last resort of today: one is made when there is none younger than a day. */
  async #lastResort(wall) {
    const resorts = [...this.#kept].filter(([, { isLastResort }]) => isLastResort).sort(([, a], [, b]) => b.madeAt - a.madeAt);
    const [id, newest] = resorts[0] ?? [];
    return newest && Math.abs(wall - newest.madeAt) < DAY ? { id, ...newest } : this.#make(true, wall);
  }

  async #make(isLastResort, wall) {
    let id = 0;
    while (!id || this.#kept.has(id)) id = new Reader(randomBytes(4)).u32();
    const key = await SessionKey.generate();
    const madeAt = Math.floor(wall);
    this.#kept.set(id, { isLastResort, madeAt, key });
    this.#keeping.set(`prekey/${id}`, { isLastResort, madeAt, privateKey: key.privateKey, point: key.point });
    return { id, isLastResort, madeAt, key };
  }

  #expire(wall) {
    for (const [id, { isLastResort, madeAt }] of this.#kept) if (isLastResort && madeAt + MAIL_LIFETIME < wall) this.#forget(id);
    for (const [id, { isLastResort }] of this.#kept) {
      if (this.#kept.size <= MOST) return;
      if (!isLastResort) this.#forget(id);
    }
  }

  #forget(id) {
    this.#kept.delete(id);
    this.#keeping.set(`prekey/${id}`, undefined);
  }
}

/** The prekeys of another member that mail for it is sealed to. */
export class HeldPrekeys {
  /** @param {{lastResort: object | null, expiry: number, oneTime: object[]}} [kept] */
  constructor({ lastResort = null, expiry = 0, oneTime = [] } = {}) {
    this.lastResort = lastResort;
    this.expiry = expiry;
    this.oneTime = oneTime;
  }

  get isEmpty() {
    return !this.lastResort && !this.oneTime.length;
  }

  /** As it is kept. */
  get record() {
    return { lastResort: this.lastResort, expiry: this.expiry, oneTime: this.oneTime };
  }

  /** @param {import("../session/frame.js").Prekeys} bundle */
  add({ lastResort, expiry, oneTime }) {
    this.lastResort = lastResort;
    this.expiry = expiry;
    const known = new Set(this.oneTime.map(({ id }) => id));
    this.oneTime = [...this.oneTime, ...oneTime.filter(({ id }) => !known.has(id))].slice(-2 * ONE_TIME);
  }

  /** A key for one item: one that is used for nothing else, while there is one. */
  take(wall) {
    return this.oneTime.pop() ?? this.reusable(wall);
  }

  /** The key that may be used again. */
  reusable(wall) {
    return this.expiry > wall ? this.lastResort : null;
  }
}
