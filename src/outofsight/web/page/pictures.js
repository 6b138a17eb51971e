// The panes and their views: frames wait in a short queue and are shown at the world's own pace.

const MOST_WAITING = 64;
const NAMES = { truth: "what truly happens", rendered: "what memory holds of it" };

function newCanvas(parent, name) {
  const figure = document.createElement("figure");
  figure.dataset.name = name;
  const canvas = document.createElement("canvas");
  canvas.width = 96;
  canvas.height = 64;
  canvas.setAttribute("role", "img");
  const caption = document.createElement("figcaption");
  figure.append(canvas, caption);
  parent.append(figure);
  return { figure, canvas, caption, pen: canvas.getContext("2d"), waiting: [], who: "", frame: null, header: null };
}

export class Pictures {
  // onShown: called with the header of each frame of the focused pane that comes on the screen.
  constructor(parent, onShown) {
    this.parent = parent;
    this.onShown = onShown;
    this.views = new Map();
    this.fps = 10;
    this.focus = 0;
    this.nextAt = 0;
    this.hurry = false;
    this.shownTimes = [];
    this.size = [96, 64];
    new ResizeObserver(() => this.fit()).observe(parent);
    this.view(0, "model");
  }

  view(pane, view) {
    const name = `${pane}-${view}`;
    if (!this.views.has(name)) {
      const made = newCanvas(this.parent, name);
      Object.assign(made, { pane, view });
      made.caption.textContent = NAMES[view] ?? "";
      this.views.set(name, made);
      [made.canvas.width, made.canvas.height] = this.size;
      this.fit();
    }
    return this.views.get(name);
  }

  close(test) {
    for (const [name, each] of this.views) {
      if (!test(each)) continue;
      each.figure.remove();
      this.views.delete(name);
    }
    this.fit();
  }

  async take(header, blob) {
    const view = this.view(header.pane, header.view);
    const item = { header, bitmap: null };
    // What was rendered of a past that was gone back from must not hold up what comes.
    while (view.waiting.length && view.waiting.at(-1).header.frame >= header.frame) view.waiting.pop().bitmap?.close();
    view.waiting.push(item);
    if (view.waiting.length > MOST_WAITING) view.waiting.shift().bitmap?.close();
    item.bitmap = await createImageBitmap(blob);
    if (!view.waiting.includes(item)) item.bitmap.close(); // of a past that was left meanwhile
    else if (view.frame === null && header.view === "model" && view.waiting[0] === item) {
      this.draw(view, view.waiting.shift());
      if (view === this.master) this.onShown(header, performance.now());
    }
  }

  clear(pane) {
    for (const view of this.views.values()) {
      if (view.pane !== pane) continue;
      for (const item of view.waiting) item.bitmap?.close();
      view.waiting = [];
      view.frame = view.header = null;
    }
    this.nextAt = 0;
  }

  get master() {
    return this.view(this.focus, "model");
  }

  // Called for every frame of the display.
  tick(now) {
    const master = this.master;
    if (master.waiting.length && master.waiting[0].bitmap && now >= this.nextAt) {
      const pace = 1000 / this.fps / (this.hurry ? 2.5 : 1);
      this.nextAt = now - this.nextAt > 2 * pace ? now + pace : this.nextAt + pace;
      const item = master.waiting.shift();
      this.draw(master, item);
      this.shownTimes.push(now);
      if (this.shownTimes.length > 20) this.shownTimes.shift();
      this.onShown(item.header, now);
    }
    for (const view of this.views.values()) if (view !== master) this.follow(view, master);
  }

  // Other views show the newest frame that is not ahead of the master's.
  follow(view, master) {
    const upTo = master.frame ?? -1;
    while (view.waiting.length && view.waiting[0].bitmap && view.waiting[0].header.frame <= upTo) {
      const item = view.waiting.shift();
      const next = view.waiting[0];
      if (next && next.bitmap && next.header.frame <= upTo) item.bitmap.close();
      else this.draw(view, item);
    }
  }

  draw(view, item) {
    const { bitmap, header } = item;
    if (!bitmap) return;
    if (view.canvas.width !== bitmap.width || view.canvas.height !== bitmap.height) {
      view.canvas.width = bitmap.width;
      view.canvas.height = bitmap.height;
      this.size = [bitmap.width, bitmap.height];
      this.fit();
    }
    view.pen.drawImage(bitmap, 0, 0);
    bitmap.close();
    view.frame = header.frame;
    view.header = header;
    this.label(view);
    view.canvas.setAttribute("aria-label", `${view.caption.textContent}, frame ${header.frame + 1}`);
  }

  // Say of a pane's picture who made it, and what it is.
  label(view) {
    if (view.view !== "model" || view.frame === null) return;
    const what = view.frame < 0 ? "last frame of the context" : `generated, ${((view.frame + 1) / this.fps).toFixed(1)} s`;
    view.caption.textContent = view.who + what;
  }

  get shownRate() {
    const times = this.shownTimes;
    if (times.length < 5 || performance.now() - times.at(-1) > 1500) return 0;
    return ((times.length - 1) * 1000) / (times.at(-1) - times[0]);
  }

  // One picture fills the stage; more share it. Small pictures are scaled by whole numbers, which keeps them crisp.
  fit() {
    const count = this.views.size;
    const box = this.parent.getBoundingClientRect();
    if (!box.width || !box.height || !count) return;
    const [width, height] = this.size;
    let best = 0;
    let columns = 1;
    for (let across = 1; across <= count; across++) {
      const down = Math.ceil(count / across);
      const scale = Math.min((box.width - 12 * (across - 1)) / across / width, (box.height - 26 * down) / down / height);
      if (scale > best) [best, columns] = [scale, across];
    }
    const ratio = window.devicePixelRatio || 1;
    const whole = Math.floor(best * ratio) / ratio;
    const scale = best * ratio >= 3 ? whole : best;
    this.parent.style.setProperty("--columns", columns);
    this.parent.style.setProperty("--width", `${Math.floor(width * scale)}px`);
    this.parent.style.setProperty("--height", `${Math.floor(height * scale)}px`);
  }
}
