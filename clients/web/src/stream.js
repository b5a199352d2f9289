// The connection to the show: reads its messages (see frames.py), and asks again when it is lost.

const POSE = 1;
const MUSIC = 2;
const RETRY_MS = 1000;

// Calls handlers.hello(text), .pose(pose), .music(music), .change(change), .note(text) and .online(boolean).
export class Stream {
  constructor(handlers) {
    this.handlers = handlers;
    this.bones = 0;
    this.fingers = 0;
    this.open();
  }

  open() {
    const socket = new WebSocket(new URL("socket", location.href).href.replace(/^http/, "ws"));
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.take(event.data);
    socket.onopen = () => this.handlers.online(true);
    socket.onclose = () => {
      this.handlers.online(false);
      setTimeout(() => this.open(), RETRY_MS);
    };
    this.socket = socket;
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "hello") {
        this.bones = message.bones.length;
        this.fingers = message.fingers.length;
      }
      const handler = this.handlers[message.type];
      if (handler) handler(message);
      return;
    }
    const view = new DataView(data);
    const kind = view.getUint32(0, true);
    if (kind === POSE && this.handlers.pose) this.handlers.pose(this.readPose(data, view));
    if (kind === MUSIC && this.handlers.music) this.handlers.music(readMusic(view));
  }

  readPose(data, view) {
    const rotations = 24 + 4 * 5;
    const fingers = rotations + 16 * this.bones;
    const face = fingers + 16 * this.fingers;
    return {
      dancer: view.getUint32(4, true),
      sent: view.getFloat64(8, true),
      time: view.getFloat64(16, true),
      contacts: new Float32Array(data, 24, 2),
      root: new Float32Array(data, 32, 3),
      rotations: new Float32Array(data, rotations, 4 * this.bones),
      fingers: new Float32Array(data, fingers, 4 * this.fingers),
      face: new Float32Array(data, face, 5),
    };
  }
}

function readMusic(view) {
  const [beats, period, beatsPerBar, onset, energy] = [24, 28, 32, 36, 40].map((at) => view.getFloat32(at, true));
  return { time: view.getFloat64(16, true), beats, period, beatsPerBar, onset, energy };
}
