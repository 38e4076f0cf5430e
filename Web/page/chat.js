// The conversation: what was said, by which path it came, and whether what we said has arrived.

import { byID, element, minuteText, pathLabel, short } from "./elements.js";

export class Chat {
  #swarm;
  #history;
  #names;
  #moved;
  #log = byID("log");
  /** Our own lines, by recipient and number. @type {Map<string, import("./history.js").Line>} */
  #pending = new Map();
  #items = new Map();
  #unread = 0;

  /**
   * @param {import("../swarm-space.js").Swarm} swarm
   * @param {import("./history.js").History} history
   * @param {(peer: string) => string} names
   * @param {(peer: string, direction: "in" | "out") => void} moved
   */
  constructor(swarm, history, names, moved) {
    this.#swarm = swarm;
    this.#history = history;
    this.#names = names;
    this.#moved = moved;
    this.#log.replaceChildren();
    for (const line of history.lines.values()) this.#show(line);
    byID("compose").onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
  }

  /** Reads what comes until the swarm is left. @param {() => void} received */
  async read(received) {
    for await (const message of this.#swarm.messages) {
      const line = {
        id: message.id, at: Date.now(), from: message.from, name: this.#names(message.from),
        text: message.isText ? message.text : described(message), path: message.path,
      };
      if (!(await this.#history.add(line))) continue;
      this.#moved(message.from, "in");
      this.#show(line);
      received();
      if (document.body.dataset.view !== "chat") this.#showUnread(this.#unread + 1);
    }
  }

  /** One of ours has arrived. */
  delivered(peer, sequence) {
    const line = this.#pending.get(`${peer}/${sequence}`);
    if (!line || line.delivered.includes(peer)) return;
    line.delivered.push(peer);
    this.#pending.delete(`${peer}/${sequence}`);
    this.#history.add(line);
    this.#show(line);
  }

  notice(text) {
    this.#append(element("li", { class: "notice" }, text));
  }

  seen() {
    this.#showUnread(0);
  }

  #showUnread(count) {
    this.#unread = count;
    const badge = byID("unread");
    badge.hidden = count === 0;
    badge.replaceChildren(String(count), element("span", { class: "visually-hidden" }, " unread"));
  }

  async #send() {
    const input = byID("text");
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    const to = byID("to").value;
    try {
      const numbers = to ? new Map([[to, (await this.#swarm.send(to, text)).number]]) : await this.#swarm.broadcast(text);
      if (!numbers.size) {
        input.value = text;
        return this.notice("Nobody else has been seen here yet: invite somebody first.");
      }
      const line = {
        id: `own/${Date.now()}/${crypto.randomUUID()}`, at: Date.now(), from: "", name: to ? this.#names(to) : "", text,
        path: "", to: Object.fromEntries(numbers), delivered: [],
      };
      for (const [peer, number] of numbers) {
        this.#pending.set(`${peer}/${number}`, line);
        this.#moved(peer, "out");
      }
      await this.#history.add(line);
      this.#show(line);
    } catch (error) {
      input.value = text;
      this.notice(error.message);
    }
  }

  #show(line) {
    const item = line.from ? this.#other(line) : this.#own(line);
    const former = this.#items.get(line.id);
    this.#items.set(line.id, item);
    if (former) return former.replaceWith(item);
    this.#append(item);
    if (!line.from) for (const [peer, number] of Object.entries(line.to)) {
      if (!line.delivered.includes(peer)) this.#pending.set(`${peer}/${number}`, line);
    }
  }

  #append(item) {
    const isAtEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 80;
    this.#log.append(item);
    if (isAtEnd) this.#log.scrollTop = this.#log.scrollHeight;
  }

  #other(line) {
    return element("li", {},
      element("span", { class: "from" }, `${line.name || short(line.from)} · ${minuteText(line.at)}`, pathLabel(line.path)),
      element("span", { class: "bubble" }, line.text));
  }

  #own(line) {
    const all = Object.keys(line.to).length;
    const there = line.delivered.length;
    const state = there === all ? "delivered" : there ? `${there} of ${all} delivered` : "on its way";
    return element("li", { class: "own" },
      element("span", { class: "from" }, [line.name ? `to ${line.name}` : "to everyone", minuteText(line.at), state].join(" · ")),
      element("span", { class: "bubble" }, line.text));
  }
}

/** A message that is no text. */
function described(message) {
  try {
    return JSON.stringify(message.json());
  } catch {
    return `${message.bytes.length} bytes`;
  }
}
