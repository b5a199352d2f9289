// The page that shows the dance. In the address: ?obs=1 leaves only the dancers, on nothing; ?camera=NAME chooses a
// preset; ?cut=BARS cuts from one to the next every so many bars.
import { Vector3 } from "three";
import { loadAvatar } from "./avatar.js";
import { Dancer } from "./dancer.js";
import { Figure } from "./figure.js";
import { CAMERAS, Stage } from "./stage.js";
import { Stream } from "./stream.js";

const query = new URLSearchParams(location.search);
const obs = query.get("obs") === "1";
const element = (id) => document.getElementById(id);

document.body.classList.toggle("obs", obs);
const stage = new Stage(element("canvas"), { transparent: obs });
const dancers = [];
const latency = { values: new Float32Array(4096), count: 0 };
let hello = null;
let music = null;
let received = 0; // when `music` came, seconds
let cutEvery = Number(query.get("cut")) || 0; // bars; 0 never
let bars = 0;
let wearing = []; // the avatars' files, as addresses
const now = () => performance.now() / 1000;

const stream = new Stream({
  online: (online) => {
    document.body.classList.toggle("offline", !online);
  },
  hello: async (message) => {
    const first = hello === null;
    hello = message;
    while (dancers.length < hello.dancers) dancers.push(new Dancer(dancers.length));
    if (!first) return wear(wearing); // a new connection: it does not know what is worn
    await wear(hello.avatar ? [hello.avatar] : []);
    if (query.get("camera") in CAMERAS) stage.look(query.get("camera"));
  },
  pose: (pose) => {
    if (!dancers[pose.dancer] || loading) return;
    dancers[pose.dancer].take(pose, now());
    latency.values[latency.count++ % latency.values.length] = performance.timeOrigin + performance.now() - pose.sent;
  },
  music: (message) => {
    music = message;
    received = now();
  },
  note: (message) => say(message.text),
});

let loading = false;

// Dresses the dancers: avatar k for dancer k, counted round; the built-in figure where there are none.
async function wear(addresses) {
  loading = true;
  const bodies = [];
  try {
    for (const dancer of dancers) {
      const address = addresses[dancer.number % addresses.length];
      bodies.push(address ? await loadAvatar(address, hello) : new Figure(hello));
    }
  } catch (error) {
    say(`This avatar cannot be shown: ${error.message}`);
    bodies.forEach((body) => body.dispose());
    loading = false;
    return hello.avatar && !wearing.length ? wear([]) : undefined;
  }
  wearing = addresses;
  dancers.forEach((dancer, i) => {
    if (dancer.body) dancer.body.dispose();
    dancer.wear(bodies[i]);
    stage.scene.add(bodies[i].object);
  });
  const worn = addresses.map((_, i) => bodies[i]).filter(Boolean);
  stream.send({ type: "avatars", avatars: worn.map(({ joints, torso }) => ({ joints, torso })) });
  stage.height = Math.max(...bodies.map((body) => body.height));
  stage.look(stage.preset);
  loading = false;
}

function say(text) {
  const note = element("note");
  note.textContent = text;
  note.hidden = !text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (note.hidden = true), 6000);
}

// Beats since the downbeat at this moment; null while there is no beat.
function beatsNow() {
  if (!music || !music.period || now() - received > 1) return null;
  return music.beats + (now() - received) / music.period;
}

let lastBar = 0;

function countBars(beats) {
  const bar = Math.floor(beats / music.beatsPerBar);
  const within = beats / music.beatsPerBar - bar;
  if (within < 0.5 && lastBar >= 0.5) {
    bars++;
    if (cutEvery && bars % cutEvery === 0) nextCamera();
  }
  lastBar = within;
}

function nextCamera() {
  const names = Object.keys(CAMERAS);
  // A walk through the presets that never shows the same one twice running.
  stage.look(names[(names.indexOf(stage.preset) + 1 + (bars * 7) % (names.length - 1)) % names.length]);
  showState();
}

const middle = new Vector3();

function follow(seconds) {
  const shown = dancers.filter((dancer) => dancer.newest);
  if (!shown.length) return;
  middle.set(0, 0, 0);
  const places = shown.map((dancer) => dancer.newest.root);
  places.forEach(([x, , z]) => middle.add({ x, y: 0, z }));
  middle.divideScalar(shown.length);
  stage.spread = Math.max(...places.map(([x]) => Math.abs(x - middle.x)));
  stage.track(middle, seconds);
}

let drawn = now();

function frame() {
  requestAnimationFrame(frame);
  const time = now();
  const seconds = Math.min(time - drawn, 0.1);
  drawn = time;
  for (const dancer of dancers) dancer.show(time, seconds);
  follow(seconds);
  const beats = beatsNow();
  if (beats !== null) countBars(beats);
  stage.draw(beats === null ? 0 : Math.exp(-5 * (beats % 1)));
}
requestAnimationFrame(frame);

// --- What the viewer can do --------------------------------------------------------------------------------------------

for (const name of Object.keys(CAMERAS)) {
  const button = document.createElement("button");
  button.textContent = name;
  button.onclick = () => {
    stage.look(name);
    showState();
  };
  button.dataset.camera = name;
  element("cameras").append(button);
}

function showState() {
  document.querySelectorAll("[data-camera]").forEach((button) => {
    button.classList.toggle("on", button.dataset.camera === stage.preset);
  });
  element("cut").classList.toggle("on", cutEvery > 0);
}
showState();

element("cut").onclick = () => {
  cutEvery = cutEvery ? 0 : 2;
  showState();
};
element("open").onclick = () => element("file").click();
element("file").onchange = (event) => drop(event.target.files);

addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  drop(event.dataTransfer.files);
});

let addresses = []; // of dropped files, to be given back

function drop(files) {
  const avatars = Array.from(files).filter((file) => /\.(vrm|glb)$/i.test(file.name));
  if (!avatars.length) return say("Drop a .vrm file");
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = avatars.map((file) => URL.createObjectURL(file));
  wear(addresses);
}

// For tests and the curious: what the page does, from the browser's console.
window.dancerev = {
  stats: () => ({
    applied: dancers.map((dancer) => dancer.applied),
    latency: Array.from(latency.values.slice(0, Math.min(latency.count, latency.values.length))),
    online: !document.body.classList.contains("offline"),
    loading,
    avatars: wearing.length,
  }),
  // The newest pose's time and the world position of each joint while it is shown.
  joints: (dancer = 0) => {
    const { body, newest } = dancers[dancer];
    dancers[dancer].pose(1);
    return { time: newest.time, joints: body.jointPositions([...hello.bones, ...hello.fingers]) };
  },
  wear,
};
