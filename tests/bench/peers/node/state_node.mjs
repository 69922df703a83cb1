// Shared state on node's `ws`: what a client writes is kept, confirmed to it, and told to all others.
// Argument: PORT
import { WebSocketServer } from "ws";

const state = {};
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false });

server.on("connection", (client) => {
  client.on("message", (text) => {
    const message = parse(text);
    if (message === undefined) {
      client.send('{"error":"Invalid JSON"}');
    } else if (message.get) {
      client.send(JSON.stringify(Object.fromEntries(message.get.map((key) => [key, state[key]]))));
    } else {
      write(client, message);
    }
  });
});

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function write(writer, values) {
  Object.assign(state, values);
  writer.send(JSON.stringify({ ...values, info: Object.keys(values) }));
  const update = JSON.stringify(values);
  for (const client of server.clients) {
    if (client !== writer) {
      client.send(update);
    }
  }
}
