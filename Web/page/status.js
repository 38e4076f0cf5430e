// The operator's view: asks for /status.json every few seconds.

import { byID, bytesText, drawn, element } from "./elements.js";

const INTERVAL = 3_000;
const TOKEN = "swarm-space-status-token";
/** How far back the charts go: as far as there is something, in seconds. */
const LONGEST_SPAN = 600;
const SHORTEST_SPAN = 60;
let span = LONGEST_SPAN;
/** What each talker had sent when it was last looked at. @type {Map<string, {bytes: number, at: number}>} */
let talkersBefore = new Map();

const perSecond = (rate) => (rate >= 100 ? Math.round(rate) : rate >= 1 ? rate.toFixed(1) : rate.toFixed(2));
const count = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1440)} days`;
}

const tile = ([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value));

function show(status) {
  const { now, rates, totals } = status;
  byID("login").hidden = true;
  byID("view").hidden = false;
  const [dot, text] = byID("health").children;
  dot.className = `dot ${status.healthy ? "good" : "bad"}`;
  text.textContent = status.healthy ? `healthy, up ${duration(status.uptime)}` : "the store fails";
  byID("now").replaceChildren(...[
    ["Connections", count.format(now.connections)], ["Relay links", count.format(now.gun_links)],
    ["Tracker links", count.format(now.tracker_links)], ["Swarms", count.format(now.swarms)],
    ["Announced", count.format(now.peers)], ["Nodes watched", count.format(now.souls)],
    ["Graph in memory", bytesText(now.graph_bytes)], ["Memory", bytesText(now.resident_bytes)],
  ].map(tile));
  byID("announces-rate").textContent = `${perSecond(rates.announces)} announces a second`;
  byID("puts-rate").textContent = `${perSecond(rates.puts)} puts a second`;
  byID("traffic-rate").textContent = `${bytesText(rates.bytes_received)}/s in, ${bytesText(rates.bytes_sent)}/s out (dashed)`;
  byID("memory-now").textContent = bytesText(now.resident_bytes);
  const { history } = status;
  span = Math.min(LONGEST_SPAN, Math.max(SHORTEST_SPAN, history[0]?.age ?? 0));
  const since = span < 120 ? `${Math.round(span)} seconds ago` : `${Math.round(span / 60)} minutes ago`;
  for (const label of document.querySelectorAll(".axis span:first-child")) label.textContent = since;
  chart(byID("announces"), [differences(history, "announces")]);
  chart(byID("puts"), [differences(history, "puts")]);
  chart(byID("traffic"), [differences(history, "bytes_received"), differences(history, "bytes_sent")]);
  chart(byID("memory"), [history.map(({ age, resident_bytes: value }) => ({ age, value }))]);
  showTalkers(status.talkers);
  byID("totals").replaceChildren(...[
    ["Announces", totals.announces], ["Offers passed on", totals.offers_forwarded], ["Answers passed on", totals.answers_forwarded],
    ["Puts", totals.puts], ["Puts refused", totals.puts_refused], ["Queries", totals.gets],
    ["Rate limited", totals.limited], ["Broken", totals.broken], ["STUN requests", totals.stun_requests],
    ["HTTP requests", totals.requests], ["Connections refused", totals.connections_refused],
  ].map(([name, value]) => tile([name, count.format(value)])));
}

/** What came between each two samples, a second. */
function differences(history, key) {
  return history.slice(1).map((sample, index) => {
    const before = history[index];
    const seconds = before.age - sample.age;
    return { age: sample.age, value: seconds > 0 ? Math.max(0, (sample[key] - before[key]) / seconds) : 0 };
  });
}

function chart(svg, series) {
  svg.setAttribute("viewBox", "0 0 600 100");
  const most = Math.max(1e-9, ...series.flat().map(({ value }) => value)) * 1.1;
  const shapes = [drawn("line", { class: "floor", x1: 0, y1: 99, x2: 600, y2: 99 })];
  series.forEach((points, index) => {
    if (points.length < 2) return;
    const at = ({ age, value }) => `${(600 - (age / span) * 600).toFixed(1)} ${(99 - (value / most) * 97).toFixed(1)}`;
    const line = points.map(at).join(" L ");
    const [first, last] = [points[0], points.at(-1)];
    if (!index) shapes.push(drawn("path", { class: "area", d: `M ${at({ ...first, value: 0 })} L ${line} L ${at({ ...last, value: 0 })} Z` }));
    shapes.push(drawn("path", { class: index ? "line second" : "line", d: `M ${line}` }));
  });
  svg.replaceChildren(...shapes);
}

function showTalkers(talkers) {
  const at = performance.now();
  const seen = new Map();
  const rows = talkers.map(({ kind, address, bytes_received: received, bytes_sent: sent, messages_received: messages, rtt_ms: rtt }) => {
    const key = `${kind} ${address}`;
    const before = talkersBefore.get(key);
    seen.set(key, { bytes: received, at });
    const rate = before ? `${bytesText(((received - before.bytes) * 1_000) / (at - before.at))}/s` : "";
    const cells = [bytesText(received), rate, bytesText(sent), count.format(messages), rtt === null ? "" : `${rtt.toFixed(1)} ms`];
    return element("tr", {}, element("td", {}, address), element("td", {}, kind), ...cells.map((text) => element("td", { class: "number" }, text)));
  });
  talkersBefore = seen;
  byID("talkers").replaceChildren(...(rows.length ? rows : [element("tr", {}, element("td", { colSpan: 7, class: "hint" }, "Nobody is connected."))]));
}

async function refresh() {
  const token = sessionStorage.getItem(TOKEN);
  try {
    const response = await fetch("/status.json", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
    if (response.ok) return show(await response.json());
    byID("view").hidden = true;
    byID("why").textContent = await response.text();
    if (response.status === 401 && token) byID("problem").textContent = "That is not the token.";
    byID("login").hidden = false;
  } catch {
    const [dot, text] = byID("health").children;
    dot.className = "dot bad";
    text.textContent = "not reached";
  }
}

byID("login").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byID("token").value);
  refresh();
};

await refresh();
setInterval(() => {
  if (!document.hidden && byID("login").hidden) refresh();
}, INTERVAL);
