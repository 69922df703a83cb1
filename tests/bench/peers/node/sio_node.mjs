// Socket.IO on node: an event to everybody for every frame. Arguments: PORT FPS SIZE [volatile]
import { createServer } from "node:http";
import { Server } from "socket.io";
import { everyFrame, port, sensorData } from "./camera.mjs";

const http = createServer();
const io = new Server(http, { perMessageDeflate: false, cors: { origin: "*" } });
const viewers = process.argv[5] === "volatile" ? io.volatile : io;

http.listen(port, "127.0.0.1");
everyFrame(() => viewers.emit("sensor_data", sensorData()));
