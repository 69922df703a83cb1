// Plain WebSocket on node's `ws`, with the guard that it needs: a viewer whose socket still holds a frame skips this one.
// Arguments: PORT FPS SIZE
import { WebSocketServer } from "ws";
import { everyFrame, port, sensorData } from "./camera.mjs";

const server = new WebSocketServer({ host: "127.0.0.1", port, perMessageDeflate: false });

everyFrame(() => {
  const message = Buffer.from(JSON.stringify(sensorData()));
  for (const viewer of server.clients) {
    if (viewer.readyState === viewer.OPEN && viewer.bufferedAmount < message.length) {
      viewer.send(message, { binary: false });
    }
  }
});
