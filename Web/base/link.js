// A WebSocket to a relay or tracker that is dialled again, ever later, when it closes.

/** Milliseconds. `relay`: every second for half a minute, which is what a restart takes, then ever later. */
const REDIAL = Object.freeze({
  relay: { first: 200, brisk: 1_000, briskFor: 30_000, longest: 15_000, stable: 10_000 },
  tracker: { first: 5_000, brisk: 5_000, briskFor: 0, longest: 300_000, stable: 60_000 },
});
const CONNECT_TIMEOUT = 20_000;

/** `http:` and `https:` are dialled as `ws:` and `wss:`. @param {string} url @returns {string | null} */
export function socketURL(url) {
  try {
    const parsed = new URL(url);
    if (parsed.protocol === "http:") parsed.protocol = "ws:";
    if (parsed.protocol === "https:") parsed.protocol = "wss:";
    return ["ws:", "wss:"].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

export class Link {
  /** @type {WebSocket | null} */
  #socket = null;
  #timer = 0;
  #failures = 0;
  #downSince = null;
  #openedAt = 0;
  #isStopped = false;
  #plan;
  #handlers;

  /**
   * @param {string} url
   * @param {"relay" | "tracker"} kind
   * @param {{opened: () => void, closed: () => void, frame: (text: string) => void}} handlers
   */
  constructor(url, kind, handlers) {
    this.url = url;
    this.kind = kind;
    /** "connecting", "open" or "waiting". */
    this.state = "waiting";
    this.framesSent = 0;
    this.framesReceived = 0;
    this.#plan = REDIAL[kind];
    this.#handlers = handlers;
  }

  get isOpen() {
    return this.state === "open";
  }

  /** Dials. */
  start() {
    if (this.#isStopped || this.#socket) return;
    clearTimeout(this.#timer);
    this.state = "connecting";
    let socket;
    try {
      socket = new WebSocket(socketURL(this.url));
    } catch {
      // A page that came by https: may not speak ws:.
      return this.#lost();
    }
    this.#socket = socket;
    const patience = setTimeout(() => this.#end(socket), CONNECT_TIMEOUT);
    socket.onopen = () => {
      clearTimeout(patience);
      if (socket !== this.#socket) return;
      this.state = "open";
      this.#openedAt = performance.now();
      this.#handlers.opened();
    };
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket || typeof data !== "string") return;
      this.framesReceived += 1;
      this.#handlers.frame(data);
    };
    socket.onclose = () => {
      clearTimeout(patience);
      this.#end(socket);
    };
  }

  #end(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    const wasOpen = this.state === "open";
    this.#lost();
    if (wasOpen) this.#handlers.closed();
  }

  #lost() {
    const now = performance.now();
    if (this.state === "open" && now - this.#openedAt >= this.#plan.stable) this.#forget();
    this.state = "waiting";
    if (this.#isStopped) return;
    this.#downSince ??= now;
    const isBrisk = now - this.#downSince < this.#plan.briskFor;
    const wait = Math.min(this.#plan.first * 2 ** Math.min(this.#failures, 10), isBrisk ? this.#plan.brisk : this.#plan.longest);
    if (!isBrisk || wait < this.#plan.brisk) this.#failures += 1;
    this.#timer = setTimeout(() => this.start(), wait * (0.5 + Math.random() / 2));
  }

  #forget() {
    this.#failures = 0;
    this.#downSince = null;
  }

  /** @param {string} text one frame; dropped when the link is not open */
  send(text) {
    if (!this.isOpen) return;
    this.framesSent += 1;
    this.#socket.send(text);
  }

  /** Something changed for the better: no reason to wait. */
  hurry() {
    this.#forget();
    if (this.state === "waiting" && !this.#isStopped) this.start();
  }

  /** The network changed: what is open is most likely dead. */
  redial() {
    this.#forget();
    if (this.#socket) this.#end(this.#socket);
    this.hurry();
  }

  /** Closes it for good. */
  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.state = "waiting";
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
