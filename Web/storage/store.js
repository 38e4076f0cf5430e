// What outlives a run: the identity, the streams' numbers, and the messages that wait. In IndexedDB, or in memory.

const DATABASE = "swarm-space";
const STATE = "state";
const IDENTITIES = "identities";

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const result = (request) =>
  new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });

const finished = (transaction) =>
  new Promise((done, failed) => {
    transaction.oncomplete = () => done();
    transaction.onabort = transaction.onerror = () => failed(transaction.error);
  });

/** @returns {Promise<IDBDatabase>} */
function openDatabase() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(STATE);
    request.result.createObjectStore(IDENTITIES);
  };
  return result(request);
}

/**
 * Changes to what is kept: `undefined` removes a key.
 * @typedef {Map<string, unknown>} Changes
 */

/** Keeps in IndexedDB, under one member's prefix. */
export class BrowserStore {
  #database;
  #prefix;
  #slot;

  /** @param {IDBDatabase} database @param {string} swarm @param {string} slot */
  constructor(database, swarm, slot) {
    this.#database = database;
    this.#prefix = `${swarm}/${slot}/`;
    this.#slot = slot;
  }

  /** @param {string} swarm names the swarm @param {string} slot names the member of this browser */
  static async open(swarm, slot) {
    return new BrowserStore(await openDatabase(), swarm, slot);
  }

  /** @returns {Promise<CryptoKeyPair | undefined>} */
  identity() {
    return result(this.#database.transaction(IDENTITIES).objectStore(IDENTITIES).get(this.#slot));
  }

  /** @param {CryptoKeyPair} pair */
  async setIdentity(pair) {
    const transaction = this.#database.transaction(IDENTITIES, "readwrite");
    transaction.objectStore(IDENTITIES).put(pair, this.#slot);
    await finished(transaction);
  }

  /** Everything that is kept. @returns {Promise<Map<string, unknown>>} */
  async read() {
    const store = this.#database.transaction(STATE).objectStore(STATE);
    const range = IDBKeyRange.bound(this.#prefix, `${this.#prefix}\uffff`);
    const [keys, values] = await Promise.all([result(store.getAllKeys(range)), result(store.getAll(range))]);
    return new Map(keys.map((key, at) => [String(key).slice(this.#prefix.length), values[at]]));
  }

  /** All of it, or nothing. @param {Changes} changes */
  async write(changes) {
    const transaction = this.#database.transaction(STATE, "readwrite", { durability: "relaxed" });
    const store = transaction.objectStore(STATE);
    for (const [key, value] of changes) {
      if (value === undefined) store.delete(this.#prefix + key);
      else store.put(value, this.#prefix + key);
    }
    await finished(transaction);
  }

  close() {
    this.#database.close();
  }
}

/** Keeps nothing beyond this page. */
export class MemoryStore {
  #kept = new Map();
  #pair;

  async identity() {
    return this.#pair;
  }

  async setIdentity(pair) {
    this.#pair = pair;
  }

  async read() {
    return new Map(this.#kept);
  }

  /** @param {Changes} changes */
  async write(changes) {
    for (const [key, value] of changes) {
      if (value === undefined) this.#kept.delete(key);
      else this.#kept.set(key, value);
    }
  }

  close() {}
}
