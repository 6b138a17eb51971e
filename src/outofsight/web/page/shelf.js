// The shelf: subjects as cards, places as thumbnails. Nodes are kept and updated, so that focus stays where it is.

import { subjectColour } from "./colours.js";

function element(tag, className, parent, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  parent?.append(made);
  return made;
}

function button(parent, text, onClick) {
  const made = element("button", "", parent, text);
  made.type = "button";
  made.onclick = onClick;
  return made;
}

export function seconds(value) {
  if (value < 60) return `${value.toFixed(value < 9.95 ? 1 : 0)} s`;
  return `${Math.floor(value / 60)} min ${String(Math.floor(value % 60)).padStart(2, "0")} s`;
}

export class Shelf {
  constructor(parts, pictures, act) {
    this.parts = parts; // subjects, views, numSubjects, numViews, note
    this.pictures = pictures; // pane and id → object URL
    this.act = act;
    this.cards = new Map();
    this.thumbs = new Map();
  }

  show(memory, note) {
    this.memory = memory;
    this.update(this.cards, memory.subjects, (one) => one.number, this.parts.subjects, () => this.newCard(), this.fillCard);
    const views = memory.views.toSorted((one, other) => one.slot - other.slot);
    this.update(this.thumbs, views, (one) => one.slot, this.parts.views, () => this.newThumb(), this.fillThumb);
    this.parts.numSubjects.textContent = memory.subjects.length || "";
    const retrieved = memory.views.filter((view) => view.retrieved).length;
    this.parts.numViews.textContent = memory.views.length ? `${memory.views.length}, ${retrieved} retrieved` : "";
    this.parts.note.textContent = note || (memory.subjects.length ? "" : "Nobody is remembered now.");
  }

  update(kept, ones, key, parent, make, fill) {
    const there = new Set(ones.map(key));
    for (const [name, card] of kept) {
      if (there.has(name)) continue;
      card.root.remove();
      kept.delete(name);
    }
    for (const one of ones) {
      if (!kept.has(key(one))) {
        const card = make();
        kept.set(key(one), card);
        const after = ones.find((other) => key(other) > key(one) && kept.has(key(other)) && kept.get(key(other)) !== card);
        parent.insertBefore(card.root, after ? kept.get(key(after)).root : null);
      }
      fill.call(this, kept.get(key(one)), one);
    }
  }

  newCard() {
    const root = element("article", "card");
    const card = { root, picture: element("img", "", root), one: null };
    card.picture.alt = "";
    const words = element("div", "words", root);
    card.title = element("h3", "", words);
    card.state = element("p", "", words);
    card.meter = element("meter", "", words);
    Object.assign(card.meter, { min: 0, max: 1 });
    const tools = element("div", "tools", root);
    card.pin = button(tools, "Pin", () => this.act("pin", { subject: card.one.number, on: !card.one.pinned }));
    card.move = button(tools, "Move", () => this.startMoving(card));
    card.forget = button(tools, "Forget", () => this.act("forget", { subject: card.one.number }));
    card.move.addEventListener("keydown", (event) => this.moving(card, event));
    card.move.addEventListener("blur", () => this.endMoving(card, false));
    return card;
  }

  fillCard(card, one) {
    card.one = one;
    this.picture(card.picture, one.picture);
    card.root.style.setProperty("--subject", subjectColour(one.number));
    card.root.classList.toggle("unseen", !one.seen);
    card.title.textContent = `Subject ${one.number}`;
    const where = one.seen ? "in sight" : `unseen for ${seconds(one.unseen_s)}, ±${(2 * one.spread_m).toFixed(1)} m`;
    if (!card.target) card.state.textContent = where;
    card.meter.value = one.confidence;
    card.meter.setAttribute("aria-label", "confidence");
    card.meter.title = `confidence ${Math.round(one.confidence * 100)}%`;
    card.pin.setAttribute("aria-pressed", one.pinned);
    card.pin.setAttribute("aria-label", `Pin subject ${one.number}`);
    card.move.setAttribute("aria-label", `Move subject ${one.number} with the arrow keys`);
    card.forget.setAttribute("aria-label", `Forget subject ${one.number}`);
  }

  // By keyboard: arrows move the subject by half a metre, Enter puts it there, Escape leaves it.
  startMoving(card) {
    if (card.target) {
      this.endMoving(card, true);
      return;
    }
    card.target = [card.one.x_m, card.one.y_m];
    this.tellMoving(card);
  }

  moving(card, event) {
    const step = { ArrowLeft: [-0.5, 0], ArrowRight: [0.5, 0], ArrowUp: [0, 0.5], ArrowDown: [0, -0.5] }[event.key];
    if (!card.target || (!step && event.key !== "Escape")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") {
      this.endMoving(card, false);
      return;
    }
    const [x, y] = this.act("turned", { step });
    card.target = [card.target[0] + x, card.target[1] + y];
    this.tellMoving(card);
  }

  tellMoving(card) {
    card.move.setAttribute("aria-pressed", "true");
    card.state.textContent = `arrows move it, Enter puts it: ${card.target.map((value) => value.toFixed(1)).join(", ")} m`;
  }

  endMoving(card, put) {
    if (card.target && put) this.act("edit", { subject: card.one.number, place: card.target });
    card.target = null;
    card.move.removeAttribute("aria-pressed");
  }

  newThumb() {
    const root = element("article", "thumb");
    const thumb = { root, picture: element("img", "", root), one: null };
    thumb.picture.alt = "";
    thumb.words = element("p", "", root);
    thumb.use = element("i", "use", root);
    const tools = element("div", "tools", root);
    thumb.pin = button(tools, "Pin", () => this.act("pin", { slot: thumb.one.slot, on: !thumb.one.pinned }));
    thumb.forget = button(tools, "Forget", () => this.act("forget", { slot: thumb.one.slot }));
    return thumb;
  }

  fillThumb(thumb, one) {
    thumb.one = one;
    this.picture(thumb.picture, one.picture);
    thumb.root.classList.toggle("retrieved", one.retrieved);
    thumb.root.classList.toggle("pinned", one.pinned);
    thumb.words.textContent = seconds(Math.max(one.age_s, 0));
    thumb.root.title = `view ${one.slot}: ${seconds(Math.max(one.age_s, 0))} old, use ${one.use.toFixed(2)}${one.retrieved ? ", retrieved" : ""}`;
    thumb.use.style.setProperty("--use", Math.min(1, one.use));
    thumb.pin.setAttribute("aria-pressed", one.pinned);
    thumb.pin.setAttribute("aria-label", `Pin view ${one.slot}`);
    thumb.forget.setAttribute("aria-label", `Forget view ${one.slot}`);
  }

  picture(image, id) {
    const url = id ? this.pictures.get(`${this.memory.pane} ${id}`) : null;
    if (url && image.src !== url) image.src = url;
    image.hidden = !url;
  }
}
