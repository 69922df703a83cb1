// What the peers in JavaScript share: the picture, the message and the rate. It uses nothing of node, so that Bun
// takes it, too.

const [port, fps, size] = process.argv.slice(2, 5).map(Number);
export { port };

/** The first bytes of a JPEG, then noise, which is as hard to compress as one. */
function makePicture() {
  const picture = Buffer.alloc(size);
  for (let i = 0; i < size; i++) {
    picture[i] = Math.random() * 256;
  }
  picture.set([0xff, 0xd8, 0xff, 0xfe]);
  return picture;
}

const picture = makePicture();

/** A message made now. The picture is encoded anew for each one, as it would be for a camera. */
export function sensorData() {
  return {
    timestamp: Date.now() / 1000,
    camera: { frame: picture.toString("base64"), width: 640, height: 480, format: "jpeg" },
  };
}

/** Calls `send` for every frame. After a pause the rate goes on; frames are not made up for. */
export function everyFrame(send) {
  let next = performance.now();
  const tick = () => {
    send();
    const now = performance.now();
    next = Math.max(next + 1000 / fps, now);
    setTimeout(tick, next - now);
  };
  tick();
}
