// A socket.io-client driven by lines of JSON: what happens goes to stdout, what to do comes from stdin.
//   node sio.mjs URL '{"version": 4|2, …options of the client…}'
// Out: {"event": NAME, "args": […]} for every event of the server, and "#connect", "#disconnect", "#error", "#upgrade", "#ack".
// In:  {"emit": [NAME, …], "ack": true?} or {"close": true}. Binary values are written as {"$binary": BASE64}.
import { createInterface } from "node:readline";

const [url, json] = process.argv.slice(2);
const { version = 4, ...options } = JSON.parse(json ?? "{}");
const { default: io } = await import(version === 2 ? "sio2" : "socket.io-client");

const plain = (value) => {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return { $binary: Buffer.from(value).toString("base64") };
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  }
  return value;
};
const tell = (event, ...args) => process.stdout.write(JSON.stringify({ event, args: args.map(plain) }) + "\n");

const socket = io(url, { reconnectionDelay: 100, reconnectionDelayMax: 200, ...options });
socket.on("connect", () => {
  tell("#connect", { id: socket.id, transport: socket.io.engine.transport.name });
  socket.io.engine.once("upgrade", (transport) => tell("#upgrade", transport.name));
});
socket.on("disconnect", (reason) => tell("#disconnect", reason));
socket.on("connect_error", (error) => tell("#error", String(error.message ?? error)));
if (version === 2) {
  // The old client has no onAny.
  const emit = socket.onevent;
  socket.onevent = (packet) => {
    tell(packet.data[0], ...packet.data.slice(1));
    emit.call(socket, packet);
  };
} else {
  socket.onAny(tell);
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.close) {
    // The good-bye of a polling client is a request of its own, which must be sent before the process ends.
    socket.close();
    setTimeout(() => process.exit(0), 200);
    return;
  }
  const acked = command.ack && ((...args) => tell("#ack", ...args));
  if (version === 2) {
    // The old client keeps `ping` for itself and would not send it; old dashboards send the packet, as here.
    const packet = { type: 2, data: command.emit, options: { compress: false } };
    if (acked) {
      socket.acks[socket.ids] = acked;
      packet.id = socket.ids++;
    }
    socket.packet(packet);
  } else {
    socket.emit(...command.emit, ...(acked ? [acked] : []));
  }
}).on("close", () => process.exit(0));
