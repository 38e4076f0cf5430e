// A queue that is read as an asynchronous sequence.

/** @template T */
export class Mailbox {
  #items = [];
  #waiting = [];
  #isFinished = false;
  #changed;
  #limit;

  /**
   * @param {object} [options]
   * @param {number} [options.limit] what is beyond is let go, the oldest first
   * @param {(count: number) => void} [options.changed] told how many items wait
   */
  constructor({ limit = Infinity, changed = () => {} } = {}) {
    this.#limit = limit;
    this.#changed = changed;
  }

  /** @param {T} item */
  push(item) {
    if (this.#isFinished) return;
    const reader = this.#waiting.shift();
    if (reader) return reader({ value: item, done: false });
    this.#items.push(item);
    if (this.#items.length > this.#limit) this.#items.shift();
    this.#changed(this.#items.length);
  }

  /** What waits, in order. @returns {readonly T[]} */
  get items() {
    return this.#items;
  }

  /** What came before is still to be read; then the sequence ends. */
  finish() {
    this.#isFinished = true;
    for (const reader of this.#waiting.splice(0)) reader({ value: undefined, done: true });
  }

  /** @returns {Promise<IteratorResult<T>>} */
  next() {
    if (this.#items.length) {
      const value = this.#items.shift();
      this.#changed(this.#items.length);
      return Promise.resolve({ value, done: false });
    }
    if (this.#isFinished) return Promise.resolve({ value: undefined, done: true });
    return new Promise((done) => this.#waiting.push(done));
  }
}
