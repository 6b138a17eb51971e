// The page: hands messages to its parts, and what the visitor does to the server.

import { Dialogs } from "./dialogs.js";
import { isDark } from "./colours.js";
import { Keys } from "./keys.js";
import { Link } from "./link.js";
import { WorldMap } from "./map.js";
import { Pictures } from "./pictures.js";
import { Remembered } from "./remembered.js";
import { Shelf } from "./shelf.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const MOST_PICTURES = 700;

let session = "";
export let status = null;
let isGreeted = false; // and its first status is yet to come
let looks = 0;
export const felt = []; // milliseconds from a change of keys to the first frame on the screen that heeds it
let pressed = null; // { number, at }: a change of keys whose first frame is yet to be shown
let lineUntil = 0;
const thumbs = new Map();

if (location.search) history.replaceState(null, "", location.pathname);
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";

const link = new Link(take, (line, final) => {
  tell(line, final ? Infinity : 60000);
  document.body.classList.toggle("apart", true);
});
export const pictures = new Pictures($("panes"), shown);
export const map = new WorldMap($("map-canvas"), $("menu"), touch);
map.onFollow = () => $("follow").setAttribute("aria-pressed", map.following);
const parts = { subjects: $("subjects"), views: $("views"), numSubjects: $("num-subjects"), numViews: $("num-views"), note: $("note") };
const shelf = new Shelf(parts, thumbs, touch);
const timeline = new Timeline($("moments"), thumbs, travel);
const dialogs = new Dialogs(() => link, () => session);
dialogs.tell = (line) => tell(line, 8000);
const remembered = [new Remembered(), new Remembered()];
let record = null; // that the shelf shows
map.show(remembered[0], true);

const handlers = {
  welcome(message) {
    session = message.session;
    isGreeted = true;
    document.body.classList.remove("apart");
    tell("");
    dialogs.welcome(message);
    const options = Object.entries(message.strategies).map(([name, what]) => {
      const option = new Option(name, name);
      option.title = what;
      return option;
    });
    $("rival").replaceChildren(new Option("no other memory", ""), ...options);
  },
  status(message) {
    const changed = status && status.focus !== message.focus;
    status = message;
    pictures.fps = message.fps;
    pictures.focus = message.focus < message.panes.length ? message.focus : 0;
    if (changed) {
      map.show(remembered[pictures.focus], false);
      if (pictures.master.header) look(pictures.master.header);
    }
    map.fov = (message.fov_deg * Math.PI) / 180;
    showStatus();
    if (isGreeted) keys.again(); // the link was lost, and with it what was pressed meanwhile
    isGreeted = false;
  },
  memory(message) {
    remembered[message.pane].take(message);
    if (message.pane !== pictures.focus) return;
    const { frame, waiting } = pictures.master;
    if (frame === null && !waiting.length) map.look(message.camera, message.frame); // no picture of it is kept
    showRecord();
  },
  timeline: (message) => timeline.take(message),
  saves: (message) => dialogs.saves(message),
  cleared(message) {
    if (message.open) pictures.view(message.pane, "model");
    else pictures.close((view) => view.pane === message.pane);
    pictures.close((view) => view.pane === message.pane && view.view === "rendered"); // the next step's is another
    pictures.clear(message.pane);
    timeline.clear(message.pane);
    remembered[message.pane].clear(message.open ? message.frame : -1);
    if (message.pane === pictures.focus) map.show(remembered[message.pane], message.frame < 0);
    pressed = null;
  },
  error: (message) => tell(message.line, 8000),
  busy: (message) => tell(message.queue > 1 ? `The world is made ready, ${message.queue} wait …` : "The world is made ready …", 600000, true),
};

// The map and the shelf belong to the frame on the screen, not to the newest that has come.
function look({ pose, frame }) {
  const [x, y, z] = [pose[3], pose[7], pose[11]];
  map.look({ x_m: x, y_m: y, z_m: z, heading: Math.atan2(pose[6], pose[2]) }, frame);
  showRecord();
}

function showRecord() {
  const nearest = map.camera && map.of.nearest(map.frame);
  if (!nearest || nearest === record) return;
  record = nearest;
  shelf.show(record, status?.panes[record.pane]?.note);
  $("key-truth").hidden = !record.truth.length;
}

async function take(message, blob) {
  if (message.kind === "frame") await pictures.take(message, blob);
  else if (message.kind === "picture") keepPicture(`${message.pane} ${message.id}`, blob);
  else handlers[message.kind]?.(message);
}

function keepPicture(id, blob) {
  if (thumbs.has(id)) URL.revokeObjectURL(thumbs.get(id));
  thumbs.set(id, URL.createObjectURL(blob));
  while (thumbs.size > MOST_PICTURES) {
    const [oldest, url] = thumbs.entries().next().value;
    URL.revokeObjectURL(url);
    thumbs.delete(oldest);
  }
}

function shown(header, now) {
  look(header);
  if (pressed && header.heeds >= pressed.number) {
    felt.push(now - pressed.at);
    if (felt.length > 200) felt.shift();
    pressed = null;
  }
  pictures.hurry = pressed !== null;
}

function showStatus() {
  const { panes, focus } = status;
  $("caption").textContent = status.prompt;
  if (document.activeElement !== $("prompt-text")) $("prompt-text").value = status.prompt;
  $("pause").textContent = status.walking ? "Pause" : "Walk";
  $("speed").textContent = status.frames_a_second ? `${status.frames_a_second.toFixed(1)} frames/s` : "–";
  $("speed").title = Object.entries(status.seconds).map(([stage, value]) => `${stage} ${Math.round(1000 * value)} ms`).join(", ");
  $("show-truth").hidden = !status.has_truth;
  $("show-rendered").hidden = !status.has_rendered;
  $("show-truth").setAttribute("aria-pressed", status.truth);
  $("show-rendered").setAttribute("aria-pressed", status.rendered);
  $("rival").value = panes[1]?.linked ? panes[1].strategy : "";
  $("rival").options[0].textContent = panes[1] && !panes[1].linked ? "the fork" : "no other memory";
  $("back").disabled = !panes[focus] || panes[focus].step === 0;
  $("fork").disabled = $("fork-at").disabled = panes.length > 1 && focus === 1;
  document.body.classList.toggle("walking", status.walking);
  timeline.show(focus);
  timeline.step = panes[focus]?.step ?? 0;
  for (const [id, kind] of [["film", "mp4"], ["log", "json"]]) $(id).href = `/walks/${session}/walk.${kind}?pane=${focus}`;
  if (!status.truth) pictures.close((view) => view.view === "truth");
  if (!status.rendered) pictures.close((view) => view.view === "rendered");
  panes.forEach((pane, number) => {
    const view = pictures.view(number, "model");
    view.who = panes.length > 1 ? (number && !pane.linked ? "fork: " : `${pane.strategy}: `) : "";
    pictures.label(view);
    view.figure.classList.toggle("focus", panes.length > 1 && number === focus);
  });
  dialogs.status(status);
  if (status.doing) tell(`${status.doing[0].toUpperCase()}${status.doing.slice(1)} …`, 120000, true);
  else if (working) tell("");
}

let working = false;
function tell(line, milliseconds = 8000, isWork = false) {
  working = isWork;
  $("line").textContent = line;
  lineUntil = performance.now() + milliseconds;
}

function touch(kind, asked) {
  if (kind === "turned") return turned(asked.step);
  const pane = status?.focus ?? 0;
  if (kind === "edit") link.send("edit", { pane, subject: asked.subject, x_m: asked.place[0], y_m: asked.place[1] });
  else link.send(kind, { pane, ...asked });
  return null;
}

// A step on the map (right, up), in the world's metres.
function turned([right, ahead]) {
  const angle = (map.up ?? Math.PI / 2) - Math.PI / 2;
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [c * right - s * ahead, s * right + c * ahead];
}

function forkAt(on) {
  timeline.forks = on;
  $("fork-at").setAttribute("aria-pressed", on);
}

function travel(kind, step) {
  forkAt(false);
  if (kind === "fork") link.send("fork", { step });
  else link.send("rewind", { pane: status?.focus ?? 0, step });
}

function pause(on) {
  if (!status) return;
  status.walking = !on;
  link.send("pause", { on });
  showStatus();
}

function onLook(asked, moves, now) {
  looks += 1;
  link.send("look", { number: looks, ...asked });
  if (!moves) return;
  $("welcome").hidden = true;
  if (status && !status.walking) pause(false);
  if (!pressed) pressed = { number: looks, at: now };
  pictures.hurry = true;
}

const acts = {
  Space: () => pause(status?.walking ?? false),
  KeyH: () => document.body.classList.toggle("alone"),
  KeyB: () => travel("rewind", timeline.before),
  KeyF: () => !$("fork").disabled && travel("fork", timeline.step),
  Digit1: () => link.send("focus", { pane: 0 }),
  Digit2: () => status?.panes.length > 1 && link.send("focus", { pane: 1 }),
};

const keys = new Keys($("panes"), $("stick"), $("pad"), onLook, (code, key) => {
  if (key === "?") {
    $("help").showModal();
    return true;
  }
  if (!(code in acts)) return false;
  if (code !== "KeyH") $("welcome").hidden = true;
  acts[code]();
  return true;
});

$("pause").onclick = acts.Space;
$("back").onclick = acts.KeyB;
$("fork").onclick = acts.KeyF;
$("fork-at").onclick = () => forkAt(!timeline.forks);
$("closer").onclick = () => map.zoom(1.3);
$("farther").onclick = () => map.zoom(1 / 1.3);
$("follow").onclick = () => {
  map.following = !map.following;
  if (map.following) map.fit(1);
  map.onFollow();
};
$("show-truth").onclick = () => link.send("views", { truth: !status.truth, rendered: status.rendered });
$("show-rendered").onclick = () => link.send("views", { truth: status.truth, rendered: !status.rendered });
$("rival").onchange = () => {
  link.send("strategy", { name: $("rival").value || null });
  $("rival").blur(); // so that keys walk again
};
$("prompt").onsubmit = (event) => {
  event.preventDefault();
  const text = $("prompt-text").value.trim();
  if (text) link.send("prompt", { text });
  $("prompt-text").blur();
};
$("panes").addEventListener("click", (event) => {
  const name = event.target.closest("figure")?.dataset.name;
  if (status?.panes.length > 1 && name?.endsWith("-model")) link.send("focus", { pane: Number(name[0]) });
});
$("theme").onclick = () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  map.resize();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.resize());
// Where there is little room, the caption is set beside the time that it changes.
const narrow = matchMedia("(max-height: 520px), (max-width: 760px)");
const placePrompt = () => $(narrow.matches ? "timeline" : "bar").append($("prompt"));
narrow.addEventListener("change", placePrompt);
placePrompt();
document.addEventListener("visibilitychange", () => document.hidden && status?.walking && pause(true));
for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.onclick = () => {
    document.body.dataset.tab = tab.getAttribute("aria-controls");
    for (const each of document.querySelectorAll("[role=tab]")) each.setAttribute("aria-selected", each === tab);
  };
}

// Whoever uses a mouse wants keys to walk afterwards, not to press the same button again.
let byPointer = false;
addEventListener("pointerdown", () => (byPointer = true), true);
addEventListener("keydown", () => (byPointer = false), true);
let lastByPointer = false; // of the last button outside dialogs, which may have opened one
const letGo = () => lastByPointer && document.activeElement?.blur();
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("button") || event.target.closest("dialog")) return;
  lastByPointer = byPointer;
  letGo();
});
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", letGo);

function tick(now) {
  keys.tick(now);
  pictures.tick(now);
  map.tick(now);
  if (lineUntil && now > lineUntil) {
    $("line").textContent = "";
    lineUntil = 0;
  }
  requestAnimationFrame(tick);
}
requestAnimationFrame(tick);
setInterval(() => {
  const rate = pictures.shownRate;
  $("shown").textContent = rate ? `${rate.toFixed(1)} frames/s` : "–";
  const sorted = felt.slice(-15).toSorted((one, other) => one - other);
  $("latency").textContent = sorted.length ? `${(sorted[sorted.length >> 1] / 1000).toFixed(2)} s` : "–";
}, 500);
