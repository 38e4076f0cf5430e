// Requests: one member asks, the other answers, once.

import { utf8 } from "./base/bytes.js";
import { encoded, Payload } from "./payload.js";
import { LONGEST_NAME, Status } from "./session/control.js";

const TIMEOUT = 30_000;

/** Why a request has no answer. @typedef {"failed" | "unknownAction" | "refused" | "busy" | "timedOut" | "interrupted" | "unsupported"} RequestFailure */

const WORDS = {
  failed: "the action failed there", unknownAction: "there is no such action there", refused: "the other refused", busy: "the other has too much to answer",
  timedOut: "no answer came in time", interrupted: "the conversation ended: one of the two left or runs anew", unsupported: "the other knows no requests",
};

/** A request has no answer. */
export class RequestError extends Error {
  /** @param {RequestFailure} code @param {string} [reason] what the other says of it */
  constructor(code, reason = "") {
    super(reason ? `${WORDS[code]}: ${reason}` : WORDS[code]);
    this.name = "RequestError";
    this.code = code;
    this.reason = reason;
  }
}

/** To be thrown by a handler that does not want to do what it is asked for: the other gets a `RequestError` with the code "refused". */
export class ActionRefusal extends Error {
  /** @param {string} reason */
  constructor(reason) {
    super(reason);
    this.name = "ActionRefusal";
  }
}

/** @param {string} name of an action or a byte stream */
export function checkedName(name) {
  if (typeof name !== "string" || utf8(name).length > LONGEST_NAME) throw new TypeError(`a name is a text of at most ${LONGEST_NAME} bytes of UTF-8`);
  return name;
}

/**
 * @callback Handler
 * @param {Payload} payload
 * @param {string} peer who asks
 * @param {{signal: AbortSignal}} context aborted when nobody waits for the answer any more
 * @returns {unknown} what is answered, or a promise of it; sent as `send` would
 */

export class Requests {
  /** @type {Map<string, Handler>} */
  #handlers = new Map();
  /** Ours that wait. @type {Map<string, (event: {outcome: string, payload: Uint8Array}) => void>} */
  #asked = new Map();
  /** Those of others that are being answered. @type {Map<string, AbortController>} */
  #answering = new Map();
  #conversations;

  /** @param {() => import("./member/conversations.js").Conversations} conversations throws when there are none */
  constructor(conversations) {
    this.#conversations = conversations;
  }

  /** @param {string} action @param {Handler} handler */
  handle(action, handler) {
    this.#handlers.set(checkedName(action), handler);
  }

  /**
   * @param {string} peer @param {string} action @param {unknown} value
   * @param {{timeout?: number | null, priority?: import("./session/lane.js").Priority, signal?: AbortSignal}} options
   * @returns {Promise<Payload>}
   */
  async request(peer, action, value, { timeout = TIMEOUT, priority = "normal", signal }) {
    signal?.throwIfAborted();
    const limit = timeout ?? Infinity;
    if (!(limit >= 0)) throw new TypeError("a timeout is a number of milliseconds, or null for none");
    const payload = value === undefined ? new Uint8Array() : encoded(value).content;
    const name = checkedName(action);
    const conversations = this.#conversations();
    return new Promise((done, failed) => {
      const id = conversations.begin(peer, (exchanges, now) => exchanges.request(name, payload, { limit, priority, now }));
      const key = `${peer}/${id}`;
      const aborted = () => {
        this.#asked.delete(key);
        failed(signal.reason);
        conversations.exchange(peer, (exchanges) => exchanges.cancel(id));
      };
      signal?.addEventListener("abort", aborted, { once: true });
      this.#asked.set(key, (event) => {
        signal?.removeEventListener("abort", aborted);
        if (event.outcome === "answered") done(new Payload(event.payload));
        else failed(new RequestError(/** @type {RequestFailure} */ (event.outcome), new Payload(event.payload).text));
      });
    });
  }

  /** Takes what happened. @param {string} peer @param {any} event */
  take(peer, event) {
    const key = `${peer}/${event.id}`;
    switch (event.type) {
      case "request":
        this.#answer(peer, event, key);
        break;
      case "cancelled":
        this.#answering.get(key)?.abort();
        this.#answering.delete(key);
        break;
      case "response":
        this.#asked.get(key)?.(event);
        this.#asked.delete(key);
        break;
    }
  }

  async #answer(peer, { id, action, payload }, key) {
    const conversations = this.#conversations();
    const say = (status, bytes) => conversations.exchange(peer, (exchanges) => exchanges.answer(id, status, bytes));
    const handler = this.#handlers.get(action);
    if (!handler) return say(Status.unknownAction, new Uint8Array());
    const controller = new AbortController();
    this.#answering.set(key, controller);
    let status = Status.result;
    let answer;
    try {
      const result = await handler(new Payload(payload), peer, { signal: controller.signal });
      answer = result === undefined ? new Uint8Array() : encoded(result).content;
    } catch (error) {
      status = error instanceof ActionRefusal ? Status.refused : Status.failed;
      answer = utf8(error instanceof Error ? error.message : String(error));
    }
    if (this.#answering.get(key) !== controller) return;
    this.#answering.delete(key);
    say(status, answer);
  }
}
