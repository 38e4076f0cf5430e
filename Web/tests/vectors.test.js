import { readFile } from "node:fs/promises";
import test from "node:test";
import { check, parse } from "./vectors.js";

test("the known answers of docs/protocol.md", async (t) => {
  const file = new URL("../../Tests/SwarmEngineTests/Resources/protocol.json", import.meta.url);
  t.diagnostic(`${await check(parse(await readFile(file, "utf8")))} checks`);
});
