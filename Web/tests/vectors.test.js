import { readFile } from "node:fs/promises";
import test from "node:test";
import { checkLanes } from "./lane-vectors.js";
import { check, parse } from "./vectors.js";

const read = (name) => readFile(new URL(`../../Tests/SwarmEngineTests/Resources/${name}.json`, import.meta.url), "utf8");

test("the known answers of docs/protocol.md", async (t) => {
  t.diagnostic(`${await check(parse(await read("protocol")))} checks`);
});

test("the known answers for lanes, requests and byte streams", async (t) => {
  t.diagnostic(`${checkLanes(JSON.parse(await read("lanes")))} checks`);
});
