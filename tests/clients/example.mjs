// The Node.js client of the C Pro document (document/node.cjs), used as it is written there.
//   node example.mjs URL USERNAME PASSWORD
// Out: {"open": true}, {"text": …} for each message, {"close": true}. In: {"call": METHOD, "args": […]}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const source = readFileSync(new URL("document/node.cjs", import.meta.url), "utf8");
const console = { log: (what) => what === "Connection closed" && tell({ close: true }), error: () => {} };
const Client = new Function("require", "console", `${source}; return RotoclearClient;`)(
  createRequire(import.meta.url),
  console,
);

const client = new Client(...process.argv.slice(2));
client.handleMessage = (data) => tell({ text: JSON.stringify(data) });
await client.connect();
tell({ open: true });

createInterface({ input: process.stdin }).on("line", (line) => {
  const { call, args } = JSON.parse(line);
  client[call](...args);
}).on("close", () => process.exit(0));
