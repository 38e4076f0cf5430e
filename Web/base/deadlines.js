// What is due when: the earliest first, and of equal moments the one that was added first. A binary heap.

/** @template T */
export class Deadlines {
  /** @type {{at: number, order: number, item: T}[]} */
  #heap = [];
  #added = 0;

  /** When the first is due; `Infinity` when there is none. */
  get next() {
    return this.#heap[0]?.at ?? Infinity;
  }

  /** @param {T} item @param {number} at */
  add(item, at) {
    const heap = this.#heap;
    let index = heap.push({ at, order: (this.#added += 1), item }) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(heap[index], heap[parent])) break;
      [heap[index], heap[parent]] = [heap[parent], heap[index]];
      index = parent;
    }
  }

  /** Takes the first out if it is due. @param {number} now @returns {T | undefined} */
  popDue(now) {
    return this.next <= now ? this.#popFirst() : undefined;
  }

  /** Takes out those at the front that nobody waits for any more: `next` is to be of one that is open. @param {(item: T) => boolean} isOpen */
  trim(isOpen) {
    while (this.#heap.length && !isOpen(this.#heap[0].item)) this.#popFirst();
  }

  /** Takes the first out, due or not. @returns {T | undefined} */
  #popFirst() {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (!heap.length) return first?.item;
    heap[0] = last;
    for (let index = 0; ; ) {
      let least = index;
      for (const child of [2 * index + 1, 2 * index + 2]) {
        if (child < heap.length && isBefore(heap[child], heap[least])) least = child;
      }
      if (least === index) return first.item;
      [heap[index], heap[least]] = [heap[least], heap[index]];
      index = least;
    }
  }
}

const isBefore = (a, b) => a.at < b.at || (a.at === b.at && a.order < b.order);
