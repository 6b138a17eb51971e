// The timeline: a thumbnail for each step; those that are kept can be gone back to, or forked from.

const MOST = 300;

export class Timeline {
  constructor(list, pictures, act) {
    this.list = list;
    this.pictures = pictures;
    this.act = act;
    this.panes = [[], []];
    this.firstKept = [0, 0];
    this.shown = 0;
    this.nodes = new Map();
    this.step = 0; // of the pane that is shown
    this.forks = false; // what the next click on a step does without Shift
  }

  clear(pane) {
    this.panes[pane] = [];
    if (pane === this.shown) this.draw();
  }

  take(message) {
    const moments = this.panes[message.pane];
    const first = message.moments[0]?.step ?? Infinity;
    while (moments.length && moments.at(-1).step >= first) moments.pop();
    moments.push(...message.moments);
    if (moments.length > MOST) moments.splice(0, moments.length - MOST);
    this.firstKept[message.pane] = message.first_kept;
    if (message.pane === this.shown) this.draw();
  }

  show(pane) {
    if (pane === this.shown) return;
    this.shown = pane;
    this.nodes.clear();
    this.list.replaceChildren();
    this.draw();
  }

  draw() {
    const moments = this.panes[this.shown];
    const steps = new Set(moments.map((moment) => moment.picture));
    for (const [name, node] of this.nodes) {
      if (steps.has(name)) continue;
      node.root.remove();
      this.nodes.delete(name);
    }
    const { scrollLeft, clientWidth, scrollWidth, scrollTop, clientHeight, scrollHeight } = this.list;
    const atEnd = scrollLeft + clientWidth > scrollWidth - 90 && scrollTop + clientHeight > scrollHeight - 90;
    for (const moment of moments) {
      if (!this.nodes.has(moment.picture)) this.nodes.set(moment.picture, this.newNode(moment));
      const node = this.nodes.get(moment.picture);
      node.go.disabled = moment.step < this.firstKept[this.shown];
      const url = this.pictures.get(`${this.shown} ${moment.picture}`);
      if (url && node.image.src !== url) node.image.src = url;
    }
    if (atEnd) this.list.scrollTo(this.list.scrollWidth, this.list.scrollHeight); // down, where they wrap
  }

  newNode(moment) {
    const root = document.createElement("li");
    const go = document.createElement("button");
    go.type = "button";
    go.setAttribute("aria-label", `Go back to step ${moment.step}`);
    go.title = `step ${moment.step}, frame ${moment.frame + 1}: go back to it; with Shift: fork`;
    go.onclick = (event) => this.act(event.shiftKey || this.forks ? "fork" : "rewind", moment.step);
    const image = document.createElement("img");
    image.alt = "";
    const number = document.createElement("span");
    number.textContent = moment.step;
    go.append(image, number);
    root.append(go);
    if (moment.caption !== null) {
      const caption = document.createElement("em");
      caption.textContent = moment.caption;
      caption.title = moment.caption;
      root.append(caption);
    }
    this.list.append(root);
    return { root, go, image };
  }

  // The step before the newest one, where it is kept.
  get before() {
    return Math.max(this.firstKept[this.shown], this.step - 1);
  }
}
