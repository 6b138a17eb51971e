// Dialogs: new worlds, saved walks, help. Words of others are set as text, never as HTML.

const $ = (id) => document.getElementById(id);

export class Dialogs {
  constructor(link, session) {
    this.link = link;
    this.session = session; // () => id
    this.choices = null;
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
      for (const each of dialog.querySelectorAll("[data-close]")) each.onclick = () => dialog.close();
    }
    $("open-scenes").onclick = () => $("scenes").showModal();
    $("open-walks").onclick = () => this.openWalks();
    $("open-help").onclick = () => $("help").showModal();
    $("save").onclick = () => this.openWalks();
    $("scene-place").onchange = () => this.lights();
    $("scene-form").onsubmit = () => this.begin();
    $("own-form").onsubmit = (event) => this.upload(event);
    $("save-form").onsubmit = (event) => {
      event.preventDefault();
      this.link().send("save", { name: $("save-name").value.trim() || "a walk" });
      $("save-name").value = "";
    };
  }

  openWalks() {
    const now = new Date();
    $("save-name").value ||= `walk of ${now.toLocaleDateString()} ${now.toLocaleTimeString([], { timeStyle: "short" })}`;
    $("walks").showModal();
  }

  welcome(message) {
    this.limits = message.limits;
    this.choices = message.choices;
    $("scene-form").hidden = !message.choices;
    if (!message.choices) return;
    const known = new Set(message.choices.known);
    fill($("scene-place"), Object.keys(message.choices.scenes), known, "any it knows");
    fill($("scene-kinds"), Object.keys(message.choices.subjects), known, "any it knows");
    this.lights();
  }

  status(message) {
    if (document.activeElement !== $("scene-seed") && !$("scenes").open) $("scene-seed").value = (message.seed ?? 0) + 1;
  }

  lights() {
    const place = $("scene-place").value;
    const lights = place ? this.choices.lights[place] : [];
    fill($("scene-light"), lights, new Set(lights), "any");
    $("scene-hint").textContent = place ? this.choices.scenes[place] : "";
  }

  begin() {
    const place = $("scene-place").value;
    const kinds = [...$("scene-kinds").selectedOptions].map((option) => option.value).filter(Boolean);
    this.link().send("begin", {
      seed: Number($("scene-seed").value), scene: place || null, light: $("scene-light").value || null,
      subjects: kinds, num_subjects: Number($("scene-count").value), sheds: $("scene-sheds").checked,
    });
  }

  async upload(event) {
    event.preventDefault();
    const file = $("own-file").files[0];
    if (!file) return;
    if (file.size > this.limits.upload_bytes) {
      this.tell(`The video has ${Math.ceil(file.size / 2 ** 20)} MB; at most ${this.limits.upload_bytes >> 20} are taken.`);
      return;
    }
    $("scenes").close();
    this.tell("The video is read …");
    const asked = new URLSearchParams({ caption: $("own-caption").value, fov: $("own-fov").value });
    const answer = await fetch(`/walks/${this.session()}/video?${asked}`, { method: "POST", body: file });
    this.tell(answer.ok ? "" : await answer.text());
  }

  saves(message) {
    const items = message.walks.map((walk) => {
      const item = document.createElement("li");
      const words = document.createElement("div");
      const name = document.createElement("strong");
      name.textContent = walk.name;
      const more = document.createElement("span");
      more.textContent = `${(walk.num_frames / walk.fps).toFixed(0)} s, ${walk.strategy}, ${new Date(walk.date).toLocaleString()}`;
      const world = document.createElement("span");
      world.textContent = walk.world;
      words.append(name, more, world);
      const open = document.createElement("button");
      open.type = "button";
      open.textContent = "Open";
      open.setAttribute("aria-label", `Open ${walk.name}`);
      open.onclick = () => {
        this.link().send("load", { saved: walk.id });
        $("walks").close();
      };
      item.append(words, open);
      return item;
    });
    $("saved").replaceChildren(...items);
  }
}

function fill(select, names, known, any) {
  const option = (value, text) => {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    return made;
  };
  const groups = [option("", any)];
  const strange = names.filter((name) => !known.has(name));
  groups.push(...names.filter((name) => known.has(name)).map((name) => option(name, name)));
  if (strange.length) {
    const group = document.createElement("optgroup");
    group.label = "never seen in training";
    group.append(...strange.map((name) => option(name, name)));
    groups.push(group);
  }
  select.replaceChildren(...groups);
}
