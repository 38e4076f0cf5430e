// What one member may send: what is more is not lost, it waits at the sender.

/** @typedef {{messagesPerSecond: number, bytesPerSecond: number, burst?: number}} RateLimit `burst`: how many seconds' worth may come at once */

export class RateMeter {
  /** Until when nothing more is taken; `Infinity` while all is. */
  pausedUntil = Infinity;
  #limit;
  /** In seconds: how far ahead of its limit the member is. */
  #ahead = 0;
  #at = 0;

  /** @param {RateLimit | null | undefined} limit `null` for as much as it can */
  constructor(limit) {
    this.#limit = limit && {
      messagesPerSecond: Math.max(0.01, limit.messagesPerSecond), bytesPerSecond: Math.max(1, limit.bytesPerSecond),
      burst: Math.max(0.1, limit.burst ?? 2),
    };
  }

  /** @returns {boolean} whether the member has to wait from now on, and was not told so yet */
  count(messages, bytes, now) {
    if (!this.#limit) return false;
    const { messagesPerSecond, bytesPerSecond, burst } = this.#limit;
    this.#ahead = Math.max(0, this.#ahead - Math.max(0, now - this.#at) / 1_000);
    this.#at = now;
    this.#ahead += Math.max(messages / messagesPerSecond, bytes / bytesPerSecond);
    if (this.#ahead <= burst) return false;
    const wasPaused = this.pausedUntil < Infinity;
    // Half of the burst is free again then: acknowledgements are not to open and close the window for each message.
    this.pausedUntil = now + Math.ceil(Math.min(Math.max(this.#ahead - burst / 2, 0.001), 3_600) * 1_000);
    return !wasPaused;
  }

  /** @returns {boolean} whether the member may send again */
  handleTimeout(now) {
    if (now < this.pausedUntil) return false;
    this.pausedUntil = Infinity;
    return true;
  }
}
