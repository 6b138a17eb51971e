// The map: camera and lens, filed views, subjects seen and unseen, and the truth where it is known.

import { subjectColour } from "./colours.js";
import { Remembered } from "./remembered.js";

const NEAR_PX = 14;
const VIEW_M = 0.9;
const FIT_M = 14;
const FOLLOW_MS = 1000;

export class WorldMap {
  constructor(canvas, menu, act) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.menu = menu;
    this.act = act;
    this.scale = 34; // pixels a metre
    this.middle = [0, 0];
    this.up = null; // the direction that is drawn upwards: where the first camera looked
    this.following = true; // the map keeps the camera and the subjects in sight by itself
    this.jumps = true; // at once, as another moment is on the screen
    this.tickedAt = 0;
    this.fov = 1.4;
    this.camera = null; // of the frame on the screen; null until there is one
    this.frame = -1;
    this.of = new Remembered(); // by the pane that is shown
    this.dragged = null;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  // Another pane, or another past of this one, is on the screen from its next frame on; until then stays what was drawn.
  show(remembered, isNew) {
    this.of = remembered;
    this.camera = null;
    this.jumps = true;
    if (isNew) this.up = null;
    this.closeMenu();
  }

  // Where the camera of the frame that is shown stands and looks.
  look(camera, frame) {
    this.camera = camera;
    this.frame = frame;
    if (this.up === null) this.up = camera.heading;
    this.of.went(camera, frame);
  }

  // Called for every frame of the display.
  tick(now) {
    const soon = this.jumps || this.of.way.length < 3;
    if (this.following && this.camera) {
      this.fit(soon ? 1 : 1 - Math.exp((this.tickedAt - now) / FOLLOW_MS));
      this.jumps = false;
    }
    this.tickedAt = now;
    this.draw();
  }

  // Move and zoom a share of the way to where the camera, some ground before it, and all subjects are in sight.
  fit(gain) {
    if (!this.width || !this.camera) return;
    const { x_m, y_m, heading } = this.camera;
    const points = [[x_m, y_m], [x_m + 5 * Math.cos(heading), y_m + 5 * Math.sin(heading)]];
    const memory = this.now();
    for (const one of [...(memory?.subjects ?? []), ...(memory?.truth ?? [])]) {
      if (Math.hypot(one.x_m - x_m, one.y_m - y_m) < FIT_M) points.push([one.x_m, one.y_m]);
    }
    const turned = points.map((point) => this.turn(...point));
    const low = [0, 1].map((axis) => Math.min(...turned.map((point) => point[axis])));
    const high = [0, 1].map((axis) => Math.max(...turned.map((point) => point[axis])));
    const scale = Math.min((this.width - 120) / (high[0] - low[0] + 0.01), (this.height - 110) / (high[1] - low[1] + 0.01), 40);
    const [c, s] = [Math.cos(this.up - Math.PI / 2), Math.sin(this.up - Math.PI / 2)];
    const [x, y] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
    const aim = [c * x - s * y, s * x + c * y];
    this.scale *= (Math.max(scale, 4) / this.scale) ** gain;
    this.middle = this.middle.map((value, axis) => value + gain * (aim[axis] - value));
  }

  // What is remembered at the frame that is shown.
  now() {
    return this.of.at(this.frame);
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    this.width = box.width;
    this.height = box.height;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.ink = {
      ink: colour("--ink"), faint: colour("--faint"), line: colour("--line"), accent: colour("--accent"),
      paper: colour("--map"), view: colour("--view"), truth: colour("--truth"), lens: colour("--lens"),
    };
    this.draw();
  }

  turn(x, y) {
    const angle = Math.PI / 2 - (this.up ?? Math.PI / 2);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return [c * x - s * y, s * x + c * y];
  }

  place(x, y) {
    const [right, ahead] = this.turn(x - this.middle[0], y - this.middle[1]);
    return [this.width / 2 + right * this.scale, this.height / 2 - ahead * this.scale];
  }

  metres(px, py) {
    const angle = (this.up ?? Math.PI / 2) - Math.PI / 2;
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const [x, y] = [(px - this.width / 2) / this.scale, (this.height / 2 - py) / this.scale];
    return [this.middle[0] + c * x - s * y, this.middle[1] + s * x + c * y];
  }

  direction(heading) {
    const [x, y] = this.turn(Math.cos(heading), Math.sin(heading));
    return Math.atan2(-y, x);
  }

  draw() {
    if (!this.width || !this.ink || !this.camera) return;
    const { pen, ink } = this;
    pen.fillStyle = ink.paper;
    pen.fillRect(0, 0, this.width, this.height);
    this.grid();
    const memory = this.now();
    this.lens(this.camera);
    this.line(this.of.way, ink.faint, 1, []);
    if (!memory) return;
    for (const view of memory.views) if (!view.retrieved) this.filed(view);
    for (const view of memory.views) if (view.retrieved) this.filed(view);
    for (const points of this.of.truths.values()) this.line(this.until(points), ink.truth, 0.8, [1, 4]);
    for (const subject of memory.subjects) this.subjectTrail(subject);
    for (const subject of memory.truth) this.cross(subject);
    for (const subject of memory.subjects) this.subject(subject);
    this.eye(this.camera);
  }

  until(points) {
    return points.filter((point) => point.frame <= this.frame);
  }

  grid() {
    const { pen, ink } = this;
    const every = [1, 2, 5, 10, 20, 50, 100].find((metres) => metres * this.scale >= 56) ?? 200;
    const reach = Math.hypot(this.width, this.height) / this.scale / 2;
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const axis of [0, 1]) {
      const from = Math.floor((this.middle[axis] - reach) / every) * every;
      for (let at = from; at <= this.middle[axis] + reach; at += every) {
        const low = this.middle[1 - axis] - reach;
        const high = this.middle[1 - axis] + reach;
        const [start, end] = axis ? [[low, at], [high, at]] : [[at, low], [at, high]];
        pen.moveTo(...this.place(...start));
        pen.lineTo(...this.place(...end));
      }
    }
    pen.stroke();
    pen.fillStyle = ink.faint;
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "right";
    pen.fillText(`${every} m`, this.width - 10, this.height - 12);
    pen.fillStyle = ink.faint;
    pen.fillRect(this.width - 10 - every * this.scale, this.height - 8, every * this.scale, 1.5);
    pen.textAlign = "left";
  }

  lens(camera) {
    const { pen } = this;
    const [x, y] = this.place(camera.x_m, camera.y_m);
    const angle = this.direction(camera.heading);
    const reach = Math.max(this.width, this.height);
    const shade = pen.createRadialGradient(x, y, 0, x, y, reach * 0.75);
    shade.addColorStop(0, this.ink.lens);
    shade.addColorStop(1, "transparent");
    pen.fillStyle = shade;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.arc(x, y, reach, angle - this.fov / 2, angle + this.fov / 2);
    pen.fill();
  }

  eye(camera) {
    const { pen, ink } = this;
    const [x, y] = this.place(camera.x_m, camera.y_m);
    const angle = this.direction(camera.heading);
    pen.save();
    pen.translate(x, y);
    pen.rotate(angle);
    pen.fillStyle = ink.ink;
    pen.beginPath();
    pen.moveTo(8, 0);
    pen.lineTo(-5, 5.5);
    pen.lineTo(-2.5, 0);
    pen.lineTo(-5, -5.5);
    pen.closePath();
    pen.fill();
    pen.restore();
  }

  filed(view) {
    const { pen, ink } = this;
    const [x, y] = this.place(view.x_m, view.y_m);
    const angle = this.direction(view.heading);
    const reach = Math.max(VIEW_M * this.scale, 16);
    pen.beginPath();
    pen.moveTo(x + reach * Math.cos(angle - this.fov / 5), y + reach * Math.sin(angle - this.fov / 5));
    pen.lineTo(x, y);
    pen.lineTo(x + reach * Math.cos(angle + this.fov / 5), y + reach * Math.sin(angle + this.fov / 5));
    pen.strokeStyle = view.retrieved ? ink.accent : ink.view;
    pen.lineWidth = view.retrieved ? 1.8 : 1;
    pen.stroke();
    if (view.pinned) {
      pen.fillStyle = ink.accent;
      pen.beginPath();
      pen.arc(x + reach * Math.cos(angle), y + reach * Math.sin(angle), 2.5, 0, 7);
      pen.fill();
    }
  }

  line(points, colour, width, dash) {
    if (points.length < 2) return;
    const { pen } = this;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.beginPath();
    points.forEach((point, index) => pen[index ? "lineTo" : "moveTo"](...this.place(point.x_m, point.y_m)));
    pen.stroke();
    pen.setLineDash([]);
  }

  subjectTrail(subject) {
    const points = this.until(this.of.trails.get(subject.number) ?? []);
    const colour = subjectColour(subject.number);
    for (let index = 1; index < points.length; index++) {
      const hidden = !points[index].seen;
      this.pen.globalAlpha = 0.55;
      this.line([points[index - 1], points[index]], colour, 1.4, hidden ? [1.5, 3.5] : []);
    }
    this.pen.globalAlpha = 1;
  }

  subject(subject) {
    const { pen, ink } = this;
    const colour = subjectColour(subject.number);
    const moved = this.dragged?.number === subject.number ? this.dragged.at : null;
    const [x, y] = moved ?? this.place(subject.x_m, subject.y_m);
    pen.lineWidth = 1.6;
    pen.strokeStyle = colour;
    if (!subject.seen) {
      pen.beginPath();
      pen.arc(x, y, Math.max(2 * subject.spread_m * this.scale, 9), 0, 7);
      pen.setLineDash([2, 3.5]);
      pen.stroke();
      pen.globalAlpha = 0.1;
      pen.fillStyle = colour;
      pen.fill();
      pen.globalAlpha = 1;
      pen.setLineDash([]);
    }
    pen.beginPath();
    pen.arc(x, y, subject.seen ? 7 : 5, 0, 7);
    pen.fillStyle = subject.seen ? colour : ink.paper;
    pen.fill();
    pen.stroke();
    if (subject.pinned) {
      pen.beginPath();
      pen.arc(x, y, 10.5, 0, 7);
      pen.lineWidth = 1.2;
      pen.strokeStyle = ink.ink;
      pen.stroke();
    }
    pen.fillStyle = ink.ink;
    pen.font = "600 12px system-ui, sans-serif";
    pen.fillText(String(subject.number), x + 11, y - 9);
  }

  cross(subject) {
    const { pen, ink } = this;
    const [x, y] = this.place(subject.x_m, subject.y_m);
    pen.strokeStyle = ink.truth;
    pen.lineWidth = 2;
    pen.globalAlpha = subject.in_view ? 1 : 0.6;
    pen.beginPath();
    pen.moveTo(x - 5, y - 5);
    pen.lineTo(x + 5, y + 5);
    pen.moveTo(x + 5, y - 5);
    pen.lineTo(x - 5, y + 5);
    pen.stroke();
    pen.globalAlpha = 1;
  }

  zoom(factor, at = [this.width / 2, this.height / 2]) {
    this.following = false;
    this.onFollow?.();
    const before = this.metres(...at);
    this.scale = Math.max(4, Math.min(240, this.scale * factor));
    const after = this.metres(...at);
    this.middle = this.middle.map((value, axis) => value + before[axis] - after[axis]);
  }

  // What lies under the pointer: a subject before a view.
  under(x, y) {
    const memory = this.now();
    if (!memory) return null;
    const near = (one, reach) => {
      const [px, py] = this.place(one.x_m, one.y_m);
      return Math.hypot(px - x, py - y) < reach;
    };
    const subject = memory.subjects.find((one) => near(one, NEAR_PX));
    if (subject) return { subject };
    const tip = (one) => {
      const [px, py] = this.place(one.x_m, one.y_m);
      const angle = this.direction(one.heading);
      const reach = Math.max(VIEW_M * this.scale, 16) * 0.75;
      return Math.hypot(px + reach * Math.cos(angle) - x, py + reach * Math.sin(angle) - y);
    };
    const view = memory.views.toSorted((one, other) => tip(one) - tip(other))[0];
    return view && tip(view) < NEAR_PX ? { view } : null;
  }

  listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), at(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      const start = at(event);
      const hit = this.under(...start);
      const middle = [...this.middle];
      let far = false;
      canvas.setPointerCapture(event.pointerId);
      const move = (moved) => {
        const now = at(moved);
        far ||= Math.hypot(now[0] - start[0], now[1] - start[1]) > 4;
        if (!far) return;
        if (hit?.subject) this.dragged = { number: hit.subject.number, at: now };
        else this.pan(middle, start, now);
      };
      const end = (ended) => {
        canvas.removeEventListener("pointermove", move);
        if (this.dragged) this.act("edit", { subject: this.dragged.number, place: this.metres(...this.dragged.at) });
        else if (!far && ended.type === "pointerup") this.openMenu(hit, start);
        this.dragged = null;
      };
      canvas.addEventListener("pointermove", move);
      canvas.addEventListener("pointerup", end, { once: true });
      canvas.addEventListener("pointercancel", end, { once: true });
    });
    addEventListener("keydown", (event) => event.key === "Escape" && this.closeMenu());
  }

  pan(middle, start, now) {
    this.following = false;
    this.onFollow?.();
    this.middle = middle;
    const [from, to] = [this.metres(...start), this.metres(...now)];
    this.middle = middle.map((value, axis) => value + from[axis] - to[axis]);
  }

  openMenu(hit, [x, y]) {
    this.closeMenu();
    if (!hit) return;
    const one = hit.subject ?? hit.view;
    const what = hit.subject ? { subject: one.number } : { slot: one.slot };
    const title = document.createElement("strong");
    title.textContent = hit.subject ? `Subject ${one.number}` : `View ${one.slot}`;
    const button = (text, kind, more) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = text;
      made.onclick = () => {
        this.act(kind, { ...what, ...more });
        this.closeMenu();
      };
      return made;
    };
    const pin = button(one.pinned ? "Let go" : "Pin", "pin", { on: !one.pinned });
    this.menu.replaceChildren(title, pin, button("Forget", "forget", {}));
    this.menu.hidden = false;
    this.menu.style.left = `${Math.max(4, Math.min(x + 8, this.width - this.menu.offsetWidth - 4))}px`;
    this.menu.style.top = `${Math.max(4, Math.min(y + 8, this.height - this.menu.offsetHeight - 4))}px`;
    pin.focus();
  }

  closeMenu() {
    this.menu.hidden = true;
  }
}
