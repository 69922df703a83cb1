// Plain WebSocket on Bun, whose server is uWebSockets. Arguments: PORT FPS SIZE
import { everyFrame, port, sensorData } from "./camera.mjs";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("a WebSocket is served here\n", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    // A viewer that is this far behind skips frames.
    backpressureLimit: 1 << 20,
    closeOnBackpressureLimit: false,
    open(viewer) {
      viewer.subscribe("frames");
    },
    message() {},
  },
});

everyFrame(() => server.publish("frames", JSON.stringify(sensorData())));
