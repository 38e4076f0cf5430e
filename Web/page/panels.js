// What stands beside the chat: members, planes, shared state, timeline, counters.

import { byID, bytesText, element, hostOf, pathLabel, rttText, short, timeText } from "./elements.js";

const MOST_ENTRIES = 200;

/** Replaces children only when they are other ones, so that focus and selection stay. */
function update(parent, key, make) {
  if (parent.dataset.key === key) return;
  parent.dataset.key = key;
  parent.replaceChildren(...make());
}

export function showMembers(peers, known) {
  const away = known.filter(({ id }) => !peers.some((peer) => peer.id === id));
  const key = JSON.stringify([peers.map(({ id, name, path, rtt, backlog }) => [id, name, path, rttText(rtt), backlog]), away]);
  update(byID("members"), key, () => {
    const here = peers.map(({ id, name, path, rtt, backlog }) =>
      element("li", {},
        element("span", { class: "dot good" }),
        element("span", { class: "what" }, name || short(id), " ", element("span", { class: "hint" }, short(id))),
        element("span", { class: "detail" }, pathLabel(path), ` ${rttText(rtt)}`, backlog ? ` ${bytesText(backlog)} waiting` : "")));
    const gone = away.map(({ id, name }) =>
      element("li", {},
        element("span", { class: "dot" }),
        element("span", { class: "what" }, name || short(id), " ", element("span", { class: "hint" }, short(id))),
        element("span", { class: "detail" }, "away")));
    return here.length + gone.length ? [...here, ...gone] : [element("li", {}, element("span", { class: "hint" }, "Nobody else yet."))];
  });
  const to = byID("to");
  update(to, JSON.stringify([...peers, ...away].map(({ id, name }) => [id, name])), () => {
    const chosen = to.value;
    const options = [["", "Everyone"], ...[...peers, ...away].map(({ id, name }) => [id, name || short(id)])];
    return options.map(([value, text]) => element("option", { value, selected: value === chosen }, text));
  });
}

const STATES = { open: ["good", "connected"], connecting: ["wait", "connecting"], waiting: ["bad", "not reached"] };

export function showPlanes(links) {
  update(byID("planes"), JSON.stringify(links), () => {
    if (!links.length) return [element("li", {}, element("span", { class: "hint" }, "This invite names no relay and no tracker."))];
    return links.map(({ url, kind, state, framesSent, framesReceived }) =>
      element("li", {},
        element("span", { class: `dot ${STATES[state][0]}` }),
        element("span", { class: "what" }, kind === "relay" ? "GUN relay " : "Tracker ", element("span", { class: "hint" }, hostOf(url))),
        element("span", { class: "detail" }, `${STATES[state][1]}, ${framesReceived} in, ${framesSent} out`)));
  });
}

export function showCounters(counters) {
  const entries = [
    ["Sent", counters.sent], ["Received", counters.received], ["Delivered", counters.delivered],
    ["Path changes", counters.pathChanges], ["Refused", counters.refused],
  ];
  update(byID("counters"), JSON.stringify(entries), () =>
    entries.map(([name, count]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(count)))));
}

/** @param {string} text @param {string} [path] its colour */
export function note(text, path) {
  const list = byID("timeline");
  const mark = element("span", { class: path ? `mark ${path}` : "mark" });
  list.prepend(element("li", {}, mark, element("span", { class: "what" }, text), element("span", { class: "detail" }, timeText(Date.now()))));
  while (list.childElementCount > MOST_ENTRIES) list.lastElementChild.remove();
}

/** The shared node as a table. @param {import("../graph.js").GraphNode} node @returns {() => void} ends it */
export function showState(node) {
  const rows = byID("values");
  const values = new Map();
  rows.replaceChildren();
  byID("soul").textContent = node.soul;
  const draw = () => {
    const entries = [...values].filter(([, value]) => value !== null).sort(([a], [b]) => (a < b ? -1 : 1));
    rows.replaceChildren(...entries.map(([key, value]) => {
      const remove = element("button", { type: "button", class: "quiet", "aria-label": `Delete ${key}` }, "✕");
      remove.onclick = () => {
        node.put({ [key]: null });
        byID("key").focus();
      };
      const text = typeof value === "object" ? `→ ${value["#"]}` : String(value);
      return element("tr", {}, element("td", {}, key), element("td", {}, text), element("td", {}, remove));
    }));
    if (!entries.length) rows.append(element("tr", {}, element("td", { colSpan: 3, class: "hint" }, "Nothing yet: what you set here, everybody sees.")));
  };
  draw();
  byID("put").onsubmit = (event) => {
    event.preventDefault();
    const [key, value] = [byID("key").value.trim(), byID("value").value];
    if (!key || key === "_") return;
    const number = Number(value);
    node.put({ [key]: value.trim() !== "" && Number.isFinite(number) ? number : value });
    event.target.reset();
    byID("key").focus();
  };
  return node.on((key, value) => {
    values.set(key, value);
    draw();
  });
}
