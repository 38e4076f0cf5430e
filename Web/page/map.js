// The drawing: this member in the middle, the others around it, relays and trackers above; strokes tell the paths apart,
// and parcels move along them when messages do.

import { drawn, hostOf, pathName, rttText, short } from "./elements.js";

const WIDTH = 800;
const HEIGHT = 420;
const CENTRE = { x: WIDTH / 2, y: HEIGHT / 2 + 26 };
const RADIUS = { x: 290, y: 140 };
const SITE_Y = 26;
const PARCEL_TIME = 600;
const MOST_PARCELS = 24;

export class Drawing {
  #svg;
  #links = drawn("g");
  #sites = drawn("g");
  #nodes = drawn("g");
  #parcels = drawn("g");
  /** Where the path to each member runs. @type {Map<string, SVGPathElement>} */
  #paths = new Map();
  #key = "";
  #reduced = matchMedia("(prefers-reduced-motion: reduce)");

  /** @param {SVGSVGElement} svg */
  constructor(svg) {
    this.#svg = svg;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.append(this.#links, this.#sites, this.#parcels, this.#nodes);
  }

  /**
   * @param {{name: string, peers: import("../swarm-space.d.ts").Peer[], links: import("../swarm-space.d.ts").LinkStatus[]}} swarm
   */
  show({ name, peers, links }) {
    // Drawn anew only when something is different: parcels are on their way.
    const key = JSON.stringify([name, peers.map(({ id, name, path, rtt }) => [id, name, path, rttText(rtt)]), links.map(({ url, state }) => [url, state])]);
    if (key === this.#key) return;
    this.#key = key;
    const sites = this.#placeSites(links);
    const relay = sites.find(({ link }) => link.kind === "relay" && link.state === "open") ?? sites.find(({ link }) => link.kind === "relay");
    this.#paths.clear();
    this.#links.replaceChildren();
    this.#sites.replaceChildren(...sites.map((site) => this.#site(site)));
    this.#nodes.replaceChildren(node({ ...CENTRE, name: name || "you", isSelf: true }));
    peers.forEach((peer, index) => this.#peer(peer, this.#place(index, peers.length), relay));
    if (!peers.length) {
      this.#nodes.append(drawn("text", { class: "empty", x: CENTRE.x, y: CENTRE.y + 70 }, "Nobody else is here yet: invite somebody"));
    }
  }

  /** A message goes to a member, or comes from it. @param {string} peer @param {"out" | "in"} direction */
  move(peer, direction) {
    const path = this.#paths.get(peer);
    if (!path || this.#reduced.matches || document.hidden || this.#parcels.childElementCount >= MOST_PARCELS) return;
    const parcel = drawn("circle", { class: "parcel", r: 6 });
    this.#parcels.append(parcel);
    const length = path.getTotalLength();
    const begin = performance.now();
    const step = (now) => {
      const done = Math.min(1, (now - begin) / PARCEL_TIME);
      const { x, y } = path.getPointAtLength(length * (direction === "out" ? done : 1 - done));
      parcel.setAttribute("cx", x);
      parcel.setAttribute("cy", y);
      if (done < 1) requestAnimationFrame(step);
      else parcel.remove();
    };
    requestAnimationFrame(step);
  }

  #place(index, count) {
    // From the lower left around to the lower right: what is above belongs to relays.
    const from = count === 1 ? 0 : Math.PI * 0.92;
    const angle = count === 1 ? 0 : from - (index / (count - 1)) * Math.PI * 1.84 + Math.PI / 2;
    if (count === 1) return { x: CENTRE.x + RADIUS.x, y: CENTRE.y };
    if (count === 2) return { x: CENTRE.x + (index ? RADIUS.x : -RADIUS.x), y: CENTRE.y };
    return { x: CENTRE.x + RADIUS.x * Math.cos(angle), y: CENTRE.y + RADIUS.y * Math.sin(angle) };
  }

  #placeSites(links) {
    const shown = links.slice(0, 6);
    return shown.map((link, index) => ({ link, x: (WIDTH * (index + 1)) / (shown.length + 1), y: SITE_Y }));
  }

  #site({ link, x, y }) {
    const isOpen = link.state === "open";
    const label = `${link.kind} ${hostOf(link.url)}`;
    return drawn("g", { class: isOpen ? "site open" : "site" },
      drawn("rect", { x: x - 9, y: y - 16, width: 18, height: 18, rx: link.kind === "relay" ? 9 : 3 }),
      drawn("text", { x, y: y + 20 }, isOpen ? label : `${label} (away)`));
  }

  #peer(peer, at, relay) {
    const isRelayed = peer.path === "relay" && relay;
    const bend = isRelayed ? `Q ${relay.x} ${relay.y + 30} ${at.x} ${at.y}` : `L ${at.x} ${at.y}`;
    const path = drawn("path", { class: `link ${peer.path}`, d: `M ${CENTRE.x} ${CENTRE.y} ${bend}` });
    this.#links.append(path);
    this.#paths.set(peer.id, path);
    const middle = path.getPointAtLength(path.getTotalLength() * 0.55);
    const label = [pathName(peer.path), rttText(peer.rtt)].filter(Boolean).join(" · ");
    this.#nodes.append(
      drawn("text", { class: "rtt", x: middle.x, y: middle.y - 2 }, label),
      node({ ...at, name: peer.name || short(peer.id), isSelf: false }));
  }
}

function node({ x, y, name, isSelf }) {
  const initial = [...name][0]?.toUpperCase() ?? "?";
  return drawn("g", { class: isSelf ? "node self" : "node" },
    drawn("circle", { cx: x, cy: y, r: isSelf ? 26 : 21 }),
    drawn("text", { class: "initial", x, y }, initial),
    drawn("text", { x, y: y + (isSelf ? 44 : 38) }, [...name].slice(0, 18).join("")));
}
