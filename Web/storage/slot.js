// Which member of this browser a tab is. Two tabs of one swarm are two members; a tab that is loaded again is the same
// one. A slot is held by a lock of the browser, which ends with the page.

const PREFIX = "swarm-space";

/** A list that this tab's next page will find, written at once: when a page goes away, IndexedDB is too slow. */
export class Remembered {
  #name;
  #isKept;

  /** @param {string} name @param {boolean} isKept */
  constructor(name, isKept) {
    this.#name = `${PREFIX}/${name}`;
    this.#isKept = isKept;
  }

  /** @param {string[]} items */
  set(items) {
    if (!this.#isKept) return;
    try {
      if (items.length) sessionStorage.setItem(this.#name, JSON.stringify(items));
      else sessionStorage.removeItem(this.#name);
    } catch {
      // There is no room: what it would have said is found out later, at the price of a message handed on twice.
    }
  }

  /** @returns {string[]} */
  take() {
    const text = this.#isKept ? sessionStorage.getItem(this.#name) : null;
    this.set([]);
    return text ? JSON.parse(text) : [];
  }
}

const MOST_SLOTS = 64;
/** How long a page that is loaded again waits for its former self to let go, in milliseconds. */
const PATIENCE = 3_000;

/**
 * @typedef {object} Slot
 * @property {string} name
 * @property {() => void} release
 */

/** @returns {Promise<Slot | null>} `null` when somebody else has it */
function take(lockName, name, options) {
  return new Promise((done) => {
    const held = (lock) => {
      if (!lock) return done(null);
      return new Promise((release) => done({ name, release: () => release(undefined) }));
    };
    navigator.locks.request(lockName, options, held).catch(() => done(null));
  });
}

/** @param {string} swarm names the swarm @returns {Promise<Slot>} */
export async function takeSlot(swarm) {
  const remembered = `${PREFIX}/${swarm}`;
  const lockName = (name) => `${PREFIX}/${swarm}/${name}`;
  const former = sessionStorage.getItem(remembered);
  if (former) {
    const slot = await take(lockName(former), former, { signal: AbortSignal.timeout(PATIENCE) });
    if (slot) return slot;
  }
  for (let number = 0; number < MOST_SLOTS; number += 1) {
    const slot = await take(lockName(`${number}`), `${number}`, { ifAvailable: true });
    if (!slot) continue;
    sessionStorage.setItem(remembered, slot.name);
    return slot;
  }
  throw new Error(`${MOST_SLOTS} tabs of this browser are in this swarm already: close one`);
}
