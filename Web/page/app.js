// The page: joins a swarm, and shows what happens in it.

import { Invite, join } from "../swarm-space.js";
import { hexadecimal } from "../base/bytes.js";
import { Chat } from "./chat.js";
import { byID, hostOf, pathName, rttText, short } from "./elements.js";
import { History } from "./history.js";
import { Drawing } from "./map.js";
import { note, showCounters, showMembers, showPlanes, showState } from "./panels.js";

const REFRESH = 500;
const NICK = "swarm-space-nick";
const LAST = "swarm-space-joined";

const drawing = new Drawing(byID("drawing"));
/** The messages have been seen. */
let seen = () => {};
/** What ends with the swarm that is shown. @type {(() => void)[]} */
let endings = [];

// To join.

/** The supernode that this page came from, if it did: tracker, relay and STUN server. */
function ownSites() {
  if (!/^https?:$/.test(location.protocol)) return { trackers: [], relays: [], iceServers: [] };
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const port = location.port || (scheme === "wss" ? "443" : "80");
  return {
    trackers: [`${scheme}://${location.host}/`], relays: [`${scheme}://${location.host}/gun`],
    iceServers: [{ urls: `stun:${location.hostname}:${port}` }],
  };
}

/** An invite in the address: /#magnet:?xt=… @returns {string | null} */
function invited() {
  const fragment = location.hash.slice(1);
  if (!/^magnet:/i.test(fragment)) return null;
  return fragment;
}

function showStart() {
  document.body.dataset.stage = "start";
  byID("start").hidden = false;
  for (const id of ["swarm", "share", "leave", "where"]) byID(id).hidden = true;
  byID("nick").value ||= localStorage.getItem(NICK) ?? "";
  const magnet = invited();
  const banner = byID("invited");
  banner.hidden = !magnet;
  if (!magnet) return;
  byID("invite").value = magnet;
  Invite.parse(magnet).then(
    ({ name }) => (banner.textContent = name ? `You are invited to ${name}.` : "You are invited to a swarm."),
    (error) => ((banner.hidden = true), (byID("problem").textContent = `${error.message}.`)));
}

byID("join").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  const [nick, text, secret] = ["nick", "invite", "secret"].map((id) => byID(id).value.trim());
  byID("problem").textContent = "";
  const submit = form.querySelector("button[type=submit]");
  submit.disabled = true;
  submit.textContent = secret ? "Stretching the passphrase…" : "Joining…";
  try {
    localStorage.setItem(NICK, nick);
    const isLink = /^magnet:/i.test(text);
    const own = ownSites();
    // A link brings its own sites; a name meets at this page's supernode.
    const invite = await Invite.parse(text, { secret, ...(isLink ? {} : { trackers: own.trackers, relays: own.relays }) });
    sessionStorage.setItem(LAST, JSON.stringify({ nick, magnet: invite.magnet, secret }));
    await enter(invite, nick);
  } catch (error) {
    byID("problem").textContent = `${error.message}.`;
  } finally {
    submit.disabled = false;
    submit.textContent = "Join";
  }
};

// Not before there is somebody who takes it: the browser would send the form itself.
Object.assign(byID("join").querySelector("button[type=submit]"), { disabled: false, textContent: "Join" });

// In the swarm.

async function enter(invite, name) {
  const swarm = await join(invite, { name, iceServers: ownSites().iceServers });
  const history = await History.open(`${hexadecimal(invite.infoHash)}/${swarm.peerID}`);
  globalThis.swarm = swarm; // for the curious, in the browser's console
  const counters = { sent: 0, received: 0, delivered: 0, pathChanges: 0, refused: 0 };
  /** Everybody who was ever here. @type {Map<string, {id: string, name: string, path: string}>} */
  const known = new Map();
  const nameOf = (peer) => known.get(peer)?.name || short(peer);
  const chat = new Chat(swarm, history, nameOf, (peer, direction) => {
    if (direction === "out") counters.sent += 1;
    drawing.move(peer, direction);
  });
  seen = () => chat.seen();
  showSwarm(invite, swarm);

  const refresh = () => {
    const { peers, status } = swarm;
    if (!status) return;
    counters.refused = Object.values(status.refusals).reduce((sum, count) => sum + count, 0);
    drawing.show({ name, peers, links: status.links });
    showMembers(peers, [...known.values()]);
    showPlanes(status.links);
    showCounters(counters);
    byID("summary").textContent = summary(peers, status.links);
  };
  const timer = setInterval(refresh, REFRESH);
  const stop = swarm.on((event) => {
    happened(event, { swarm, chat, counters, known, nameOf });
    refresh();
  });
  const stopState = showState(swarm.graph.get(`${invite.name ?? hexadecimal(invite.infoHash).slice(0, 8)}/board`));
  endings = [() => clearInterval(timer), stop, stopState];
  chat.read(() => (counters.received += 1));
  refresh();
  byID("text").focus();
}

function happened(event, { swarm, chat, counters, known, nameOf }) {
  switch (event.type) {
    case "peer": {
      const former = known.get(event.peer);
      known.set(event.peer, { id: event.peer, name: event.name, path: event.path });
      note(`${nameOf(event.peer)} is here`, event.path);
      if (!former) chat.notice(`${nameOf(event.peer)} is here`);
      break;
    }
    case "path": {
      const peer = known.get(event.peer) ?? { id: event.peer, name: "", path: "" };
      counters.pathChanges += 1;
      const rtt = rttText(event.rtt);
      note(`${nameOf(event.peer)}: ${peer.path ? `${pathName(peer.path)} → ` : ""}${pathName(event.path)}${rtt ? `, ${rtt}` : ""}`, event.path);
      known.set(event.peer, { ...peer, path: event.path });
      break;
    }
    case "away":
      note(`${nameOf(event.peer)} is away`);
      break;
    case "left":
      note(`${nameOf(event.peer)} has left`);
      break;
    case "delivered":
      counters.delivered += 1;
      chat.delivered(event.to, event.sequence);
      break;
    case "expired":
    case "rejected":
      note(`${nameOf(event.to)} did not take a message${event.reason ? `: ${event.reason}` : " in time"}`);
      break;
    case "link":
      note(`${hostOf(event.url)} ${event.isOpen ? "connected" : "lost"}`);
      break;
    case "discovered":
      note(`found ${short(event.peer)} by ${event.plane === "gun" ? "a GUN relay" : "a tracker"}`);
      break;
    case "warning":
      note(event.message);
      break;
  }
}

function summary(peers, links) {
  if (!peers.length) return links.some(({ state }) => state === "open") ? "Waiting for others." : "Looking for a way to the others.";
  const direct = peers.filter(({ path }) => path === "direct").length;
  const others = peers.length === 1 ? "1 other member" : `${peers.length} other members`;
  return `${others}, ${direct === peers.length ? "directly connected" : `${direct} directly connected`}.`;
}

function showSwarm(invite, swarm) {
  document.body.dataset.stage = "swarm";
  byID("start").hidden = true;
  for (const id of ["swarm", "share", "leave", "where"]) byID(id).hidden = false;
  byID("where").textContent = invite.name ?? "a swarm without a name";
  document.title = `${invite.name ?? "swarm"} · swarm-space`;
  byID("timeline").replaceChildren();
  history.replaceState(null, "", `#${invite.magnet}`);
  byID("link").value = `${location.origin}/#${invite.magnet}`;
  byID("command").value = `swarm-space join '${invite.magnet}'${invite.secret ? " --secret PASSPHRASE" : ""} --name "$USER"`;
  byID("with-secret").hidden = !invite.secret;
  byID("leave").onclick = async () => {
    for (const end of endings) end();
    endings = [];
    sessionStorage.removeItem(LAST);
    await swarm.leave();
    history.replaceState(null, "", location.pathname);
    document.title = "swarm-space";
    showStart();
    byID("nick").focus();
  };
}

// Controls.

byID("share").onclick = () => {
  byID("copied").textContent = "";
  byID("invitation").showModal();
};

for (const button of document.querySelectorAll("[data-copy]")) {
  button.onclick = async () => {
    const input = byID(button.dataset.copy);
    input.select();
    try {
      await navigator.clipboard.writeText(input.value);
      byID("copied").textContent = "Copied.";
    } catch {
      byID("copied").textContent = "Selected: copy it with the keyboard.";
    }
  };
}

for (const button of document.querySelectorAll("[data-show]")) {
  button.onclick = () => {
    document.body.dataset.view = button.dataset.show;
    for (const other of document.querySelectorAll("[data-show]")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    if (button.dataset.show === "chat") seen();
  };
}

showStart();
// A page that is loaded again goes on where it was.
const last = sessionStorage.getItem(LAST);
if (last && invited()) {
  const { nick, magnet, secret } = JSON.parse(last);
  if (magnet === invited()) {
    Invite.parse(magnet, { secret }).then((invite) => enter(invite, nick)).catch((error) => (byID("problem").textContent = `${error.message}.`));
  }
}
