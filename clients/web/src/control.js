// The performer's panel, made from the table of controls that the show sends.
import { Stream } from "./stream.js";

const element = (id) => document.getElementById(id);
const shown = new Map(); // name → function that shows a value
const ASK_FIRST = new Set(["quit"]);
let music = null;
let received = 0;

const stream = new Stream({
  online: (online) => document.body.classList.toggle("offline", !online),
  hello: ({ controls }) => build(controls),
  change: ({ name, value, accepted, message }) => {
    if (shown.has(name)) shown.get(name)(value);
    if (message) say(`${name}: ${message}`);
    else if (!accepted) say(`${name}: refused`);
  },
  music: (message) => {
    music = message;
    received = performance.now();
    element("energy").value = message.energy;
    element("onset").value = message.onset;
  },
  note: ({ text }) => say(text),
});

const ask = (name, value) => stream.send({ type: "control", name, value });

function build(controls) {
  const panel = element("controls");
  panel.textContent = "";
  shown.clear();
  for (const control of controls) {
    const make = { trigger, switch: toggle, number: slider, integer: slider, choice, text }[control.kind];
    if (!make) continue;
    const made = make(control);
    made.title = control.help;
    made.dataset.control = control.name;
    panel.append(made);
    if (shown.has(control.name)) shown.get(control.name)(control.value);
  }
}

function trigger(control) {
  const button = document.createElement("button");
  button.textContent = control.name;
  button.classList.toggle("danger", ASK_FIRST.has(control.name));
  // On the way down, not on release: a tap is in time.
  button.onpointerdown = () => {
    if (!ASK_FIRST.has(control.name)) ask(control.name, null);
  };
  button.onclick = (event) => {
    if (ASK_FIRST.has(control.name) ? confirm(`${control.name}?`) : event.detail === 0) ask(control.name, null);
  };
  return button;
}

function toggle(control) {
  const button = document.createElement("button");
  button.textContent = control.name;
  shown.set(control.name, (value) => button.classList.toggle("on", Boolean(value)));
  button.onclick = () => ask(control.name, !button.classList.contains("on"));
  return button;
}

function labelled(control, input, wide) {
  const label = document.createElement("label");
  const head = document.createElement("span");
  head.textContent = control.name;
  const value = document.createElement("output");
  head.append(value);
  label.append(head, input);
  label.classList.toggle("wide", wide);
  return [label, value];
}

function slider(control) {
  const whole = control.kind === "integer";
  // A number without bounds, such as a seed, is typed.
  if (!(Number.isFinite(control.low) && Number.isFinite(control.high) && control.high - control.low <= 10000)) {
    return text(control);
  }
  const input = document.createElement("input");
  input.type = "range";
  input.min = control.low;
  input.max = control.high;
  input.step = whole ? 1 : (control.high - control.low) / 200;
  const [label, output] = labelled(control, input, true);
  const write = (value) => (output.textContent = `${Number(Number(value).toFixed(2))} ${control.unit || ""}`);
  let held = false;
  input.onpointerdown = () => (held = true);
  input.onpointerup = () => (held = false);
  input.oninput = () => {
    write(input.value);
    if (!control.momentary) ask(control.name, Number(input.value));
  };
  // A control that does something once, such as a nudge, does it when the slider is let go.
  input.onchange = () => {
    if (!control.momentary) return;
    ask(control.name, Number(input.value));
    write((input.value = control.default || 0));
  };
  shown.set(control.name, (value) => {
    if (control.momentary) return write((input.value = control.default || 0));
    write(value);
    if (!held) input.value = value;
  });
  return label;
}

function choice(control) {
  const input = document.createElement("select");
  for (const each of control.choices) input.append(new Option(each, each));
  const [label] = labelled(control, input, false);
  input.onchange = () => ask(control.name, input.value);
  shown.set(control.name, (value) => (input.value = value));
  return label;
}

function text(control) {
  const input = document.createElement("input");
  input.type = "text";
  input.autocapitalize = "off";
  input.spellcheck = false;
  const [label] = labelled(control, input, true);
  const buttons = (control.choices || []).map((each) => {
    const button = document.createElement("button");
    button.textContent = each;
    button.onclick = () => ask(control.name, each);
    return button;
  });
  if (buttons.length) {
    const row = document.createElement("div");
    row.className = "choices";
    row.append(...buttons);
    label.append(row);
  }
  input.onchange = () => ask(control.name, input.value);
  shown.set(control.name, (value) => {
    if (document.activeElement !== input) input.value = value === null ? "" : value;
    for (const button of buttons) button.classList.toggle("on", button.textContent === value);
  });
  return label;
}

function say(words) {
  const note = element("note");
  note.textContent = words;
  note.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (note.hidden = true), 4000);
}

function showBeat() {
  requestAnimationFrame(showBeat);
  const lights = element("beats");
  const since = (performance.now() - received) / 1000;
  if (!music || !music.period || since > 1) {
    element("bpm").textContent = "– BPM";
    lights.textContent = "";
    return;
  }
  element("bpm").textContent = `${(60 / music.period).toFixed(1)} BPM`;
  while (lights.childElementCount < music.beatsPerBar) lights.append(document.createElement("span"));
  while (lights.childElementCount > music.beatsPerBar) lights.lastChild.remove();
  const beats = music.beats + since / music.period;
  const on = Math.floor(beats) % music.beatsPerBar;
  Array.from(lights.children).forEach((light, i) => light.classList.toggle("on", i === on && beats % 1 < 0.5));
}
showBeat();
