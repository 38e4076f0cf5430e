// Making elements, and what several parts of the page say alike.

/** @param {string} id @returns {any} */
export const byID = (id) => document.getElementById(id);

/**
 * @param {string} name @param {Record<string, unknown>} [properties] `class` and ARIA are attributes, others properties
 * @param {...(Node | string)} children
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class" || key.includes("-") || key === "role" || key === "scope") made.setAttribute(key, String(value));
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** @param {string} name @param {Record<string, unknown>} [attributes] @param {...(Node | string)} children */
export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** @param {string} peer a PeerID @returns {string} for people to tell apart */
export const short = (peer) => peer.slice(0, 8);

/** @param {number | null} rtt milliseconds */
export const rttText = (rtt) => (rtt === null || rtt === undefined ? "" : rtt < 10 ? `${rtt.toFixed(1)} ms` : `${Math.round(rtt)} ms`);

/** The host of a relay or tracker, as people know it. @param {string} url */
export function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** @param {number} at milliseconds since 1970 */
export const timeText = (at) => clock.format(at);
export const minuteText = (at) => shortClock.format(at);

const PATHS = { direct: "direct", turn: "TURN", mesh: "mesh", relay: "relay" };

/** @param {string} path */
export const pathLabel = (path) => element("span", { class: `path ${path}` }, PATHS[path] ?? path);
export const pathName = (path) => PATHS[path] ?? path;

/** @param {number} count */
export function bytesText(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
