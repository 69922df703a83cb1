// A page in headless Chromium, driven by lines of JSON.
//   node browser.mjs
// In:  {"page": HTML}, which may have <script src="/document/browser.js"> and the other examples of the C Pro document
//      (those in .jsx are bundled with React), {"evaluate": JS} or {"wait": JS}, whose value becomes true.
// Out: {"loaded": true}, {"console": [TYPE, …]}, {"exception": …}, {"result": …}.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import puppeteer from "puppeteer-core";

const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const file = (path) => new URL(path, import.meta.url);
let html = "";

const server = createServer(async (request, response) => {
  const [, name] = request.url.match(/^\/document\/([a-z]+\.jsx?)$/) ?? [];
  response.setHeader("content-type", name ? "text/javascript" : "text/html");
  if (!name) return response.end(request.url === "/" ? html : "");
  if (name.endsWith(".js")) return response.end(await readFile(file(`document/${name}`)));
  // As a bundler does it; what is declared there, and React, are made known to the page.
  const contents = `${await readFile(file(`document/${name}`), "utf8")}
    import * as React from "react";
    import { createRoot } from "react-dom/client";
    Object.assign(window, { React, createRoot, useRotoclearWebSocket, CameraControl });`;
  const stdin = { contents, loader: "jsx", resolveDir: file(".").pathname };
  const options = { jsx: "automatic", bundle: true, write: false, define: { "process.env.NODE_ENV": '"production"' } };
  const { outputFiles } = await build({ stdin, ...options });
  response.end(outputFiles[0].text);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

// Chromium's sandbox does not work for root.
const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // It ends with its pipe, however this program ends.
  pipe: true,
  args: [...args, "--disable-gpu", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
page.setDefaultTimeout(40_000);
let said = Promise.resolve();
page.on("console", (message) => {
  const values = Promise.all(message.args().map((arg) => arg.jsonValue().catch(String)));
  said = said.then(async () => tell({ console: [message.type(), ...(await values)] }));
});
page.on("pageerror", (error) => tell({ exception: String(error) }));

const answer = async (command) => {
  if ("page" in command) {
    html = command.page;
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return { loaded: true };
  }
  if ("wait" in command) {
    await page.waitForFunction(command.wait, { polling: 20 });
    return { result: true };
  }
  return { result: (await page.evaluate(command.evaluate)) ?? null };
};
for await (const line of createInterface({ input: process.stdin })) {
  try {
    tell(await answer(JSON.parse(line)));
  } catch (error) {
    tell({ exception: String(error) });
  }
}
await browser.close();
process.exit(0);
