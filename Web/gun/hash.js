// The 32-bit hash that `##` carries: of the JSON text of a put with the members of every object sorted.

/**
 * @param {string} soul
 * @param {Iterable<[string, import("./graph.js").Entry]>} entries
 * @returns {number} h = 31 h + code unit, over UTF-16 code units, in 32 bits
 */
export function contentHash(soul, entries) {
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  const states = sorted.map(([key, { state }]) => `${JSON.stringify(key)}:${JSON.stringify(state)}`).join();
  const members = sorted.map(([key, { value }]) => [key, JSON.stringify(value)]);
  members.push(["_", `{"#":${JSON.stringify(soul)},">":{${states}}}`]);
  members.sort(([a], [b]) => (a < b ? -1 : 1));
  const text = `{${JSON.stringify(soul)}:{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join()}}}`;
  let hash = 0;
  for (let at = 0; at < text.length; at += 1) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0;
  return hash;
}
