// The drawing: this member in the middle, the others around it, relays and trackers above; strokes tell the paths apart,
// and parcels move along them when messages do.

import { drawn, hostOf, pathName, rttText, short } from "./elements.js";

/** Where relays and trackers stand, below the upper edge. */
const SITE_Y = 22;
/** What labels need beside and below the outer circles. */
const MARGIN = { x: 70, y: 48 };
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
  #size = { width: 800, height: 420 };
  #centre = { x: 400, y: 230 };
  #shown = null;

  /** @param {SVGSVGElement} svg */
  constructor(svg) {
    this.#svg = svg;
    svg.append(this.#links, this.#sites, this.#parcels, this.#nodes);
    // As many units as pixels: text has its own size, however large the drawing is.
    new ResizeObserver(([{ contentRect: { width, height } }]) => {
      if (!width || !height) return;
      this.#size = { width, height };
      this.#centre = { x: width / 2, y: (SITE_Y + 30 + height - MARGIN.y) / 2 };
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      if (this.#shown) this.show(this.#shown);
    }).observe(svg);
  }

  /**
   * @param {{name: string, peers: import("../swarm-space.d.ts").Peer[], links: import("../swarm-space.d.ts").LinkStatus[]}} swarm
   */
  show({ name, peers, links }) {
    this.#shown = { name, peers, links };
    // Drawn anew only when something is different: parcels are on their way.
    const key = JSON.stringify([this.#size, name, peers.map(({ id, name, path, through, rtt }) => [id, name, path, through, rttText(rtt)]), links.map(({ url, state }) => [url, state])]);
    if (key === this.#key) return;
    this.#key = key;
    const sites = this.#placeSites(links);
    const relay = sites.find(({ link }) => link.kind === "relay" && link.state === "open") ?? sites.find(({ link }) => link.kind === "relay");
    this.#paths.clear();
    this.#links.replaceChildren();
    this.#sites.replaceChildren(...sites.map((site) => this.#site(site)));
    this.#nodes.replaceChildren(node({ ...this.#centre, name: name || "you", isSelf: true }));
    const places = new Map(peers.map(({ id }, index) => [id, this.#place(index, peers.length)]));
    for (const peer of peers) this.#peer(peer, places.get(peer.id), this.#bend(peer, places, relay));
    if (!peers.length) {
      this.#nodes.append(drawn("text", { class: "empty", x: this.#centre.x, y: this.#centre.y + 72 }, "Nobody else is here yet: invite somebody"));
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

  /** Around the lower side, from the left to the right: what is above belongs to relays. */
  #place(index, count) {
    const above = count > 3 ? 0.35 : 0;
    const angle = count === 1 ? 0 : Math.PI + above - (index / (count - 1)) * (Math.PI + 2 * above);
    const radius = { x: this.#size.width / 2 - MARGIN.x, y: this.#size.height - MARGIN.y - this.#centre.y };
    return { x: this.#centre.x + radius.x * Math.cos(angle), y: this.#centre.y + radius.y * Math.sin(angle) };
  }

  /** Where there is no room for whole labels; the lists have them. */
  get #isNarrow() {
    return this.#size.width < 520;
  }

  #placeSites(links) {
    const shown = links.slice(0, 6);
    return shown.map((link, index) => ({ link, x: (this.#size.width * (index + 1)) / (shown.length + 1), y: SITE_Y }));
  }

  #site({ link, x, y }) {
    const isOpen = link.state === "open";
    const label = this.#isNarrow ? link.kind : `${link.kind} ${hostOf(link.url)}`;
    return drawn("g", { class: isOpen ? "site open" : "site" },
      drawn("rect", { x: x - 9, y: y - 16, width: 18, height: 18, rx: link.kind === "relay" ? 9 : 3 }),
      drawn("text", { x, y: y + 20 }, isOpen ? label : `${label} (away)`));
  }

  /** Where a path is drawn to: a relayed one bends up, towards the relays; one through a member passes it. */
  #bend({ id, path, through }, places, relay) {
    const at = places.get(id);
    const half = { x: (this.#centre.x + at.x) / 2, y: (this.#centre.y + at.y) / 2 };
    if (path === "relay") {
      const lean = relay ? (relay.x - this.#centre.x) * 0.12 : 0;
      return { x: half.x + lean, y: Math.min(this.#centre.y, at.y) - 62 };
    }
    const via = path === "mesh" ? places.get(through) : undefined;
    // The curve is in its middle halfway between the ends' middle and this point.
    return via ? { x: 2 * via.x - half.x, y: 2 * via.y - half.y } : half;
  }

  #peer(peer, at, bend) {
    const d = `M ${this.#centre.x} ${this.#centre.y} Q ${bend.x} ${bend.y} ${at.x} ${at.y}`;
    const path = drawn("path", { class: `link ${peer.path}`, d });
    this.#links.append(path);
    this.#paths.set(peer.id, path);
    const middle = path.getPointAtLength(path.getTotalLength() * (peer.path === "mesh" ? 0.8 : 0.55));
    const words = this.#isNarrow ? [rttText(peer.rtt)] : [pathName(peer.path), rttText(peer.rtt)];
    const label = words.filter(Boolean).join(" · ");
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
