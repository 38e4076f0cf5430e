// What was said, kept by the page: each message under its id, so that one which comes again after a reload is no second.

const STORE = "messages";
const MOST = 500;

const result = (request) =>
  new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });

/**
 * @typedef {object} Line
 * @property {string} id
 * @property {number} at
 * @property {string} from a PeerID, or "" for our own
 * @property {string} name
 * @property {string} text
 * @property {string} path
 * @property {Record<string, number>} [to] of our own: the message's number for each recipient
 * @property {string[]} [delivered] of our own: who has it
 */

export class History {
  #database;
  #swarm;
  /** @type {Map<string, Line>} */
  lines = new Map();

  /** @param {string} swarm names swarm and member */
  static async open(swarm) {
    const history = new History();
    history.#swarm = swarm;
    try {
      const request = indexedDB.open("swarm-space-page", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      history.#database = await result(request);
      const store = history.#database.transaction(STORE).objectStore(STORE);
      const kept = await result(store.getAll(IDBKeyRange.bound(`${swarm}/`, `${swarm}/\uffff`)));
      for (const line of kept.sort((a, b) => a.at - b.at).slice(-MOST)) history.lines.set(line.id, line);
    } catch {
      // Without storage the page remembers as long as it is open.
    }
    return history;
  }

  /** Keeps a line. @param {Line} line @returns {Promise<boolean>} whether it is a new one */
  async add(line) {
    const isNew = !this.lines.has(line.id);
    this.lines.set(line.id, line);
    const old = this.lines.size > MOST ? this.lines.keys().next().value : null;
    if (old !== null) this.lines.delete(old);
    if (!this.#database) return isNew;
    const transaction = this.#database.transaction(STORE, "readwrite");
    transaction.objectStore(STORE).put(line, `${this.#swarm}/${line.id}`);
    if (old !== null) transaction.objectStore(STORE).delete(`${this.#swarm}/${old}`);
    await new Promise((done) => (transaction.oncomplete = transaction.onabort = transaction.onerror = done));
    return isNew;
  }
}
