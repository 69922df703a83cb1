// A WebSocket (npm `ws`) driven by lines of JSON: what happens goes to stdout, what to do comes from stdin.
//   node ws.mjs URL '{…options of the client…}'
// Out: {"open": true}, {"text": …}, {"binary": BASE64}, {"close": CODE, "reason": …}, {"refused": STATUS}, {"error": …}.
// In:  {"text": …}, {"binary": BASE64}, {"close": CODE}.
import { createInterface } from "node:readline";
import WebSocket from "ws";

const [url, json] = process.argv.slice(2);
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");

const socket = new WebSocket(url, JSON.parse(json ?? "{}"));
socket.on("open", () => tell({ open: true }));
socket.on("message", (data, isBinary) => tell(isBinary ? { binary: data.toString("base64") } : { text: data.toString() }));
socket.on("close", (code, reason) => tell({ close: code, reason: reason.toString() }));
socket.on("unexpected-response", (request, response) => {
  tell({ refused: response.statusCode });
  request.destroy();
});
socket.on("error", (error) => tell({ error: String(error.message ?? error) }));

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if ("text" in command) socket.send(command.text);
  else if ("binary" in command) socket.send(Buffer.from(command.binary, "base64"));
  else socket.close(command.close);
}).on("close", () => process.exit(0));
