// Keyboard, mouse, touch and gamepad: all become shares of full speed, and degrees to turn.

const KEYS = {
  KeyW: ["forward", 1], ArrowUp: ["forward", 1], KeyS: ["forward", -1], ArrowDown: ["forward", -1],
  KeyA: ["yaw", 1], ArrowLeft: ["yaw", 1], KeyD: ["yaw", -1], ArrowRight: ["yaw", -1],
  KeyZ: ["right", -1], KeyC: ["right", 1], KeyE: ["up", 1], KeyQ: ["up", -1], KeyR: ["pitch", 1], KeyV: ["pitch", -1],
};
const AXES = ["yaw", "pitch", "forward", "right", "up"];
const SLOWER = 0.4;
const DEGREES_A_PICTURE = 60;
const SEND_MS = 50;

export function isTyping(target) {
  return target instanceof HTMLElement && (target.closest("input, select, textarea, dialog") !== null);
}

export class Keys {
  constructor(stage, stick, pad, onLook, onAct) {
    this.held = new Set();
    this.slow = false;
    this.onLook = onLook;
    this.onAct = onAct;
    this.pull = { yaw_deg: 0, pitch_deg: 0 };
    this.thumb = { forward: 0, yaw: 0 };
    this.started = false; // the gamepad's start button is down
    this.last = "";
    this.sentAt = 0;
    addEventListener("keydown", (event) => this.down(event));
    addEventListener("keyup", (event) => this.up(event));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    this.drag(stage);
    this.joystick(stick);
    for (const button of pad.children) this.hold(button);
  }

  down(event) {
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    this.slow = event.shiftKey;
    const onButton = event.target instanceof HTMLElement && event.target.closest("button, a, [role=tab]");
    if (event.code in KEYS) {
      const scrolls = event.target instanceof HTMLElement && event.target.closest("#moments, #shelf");
      if (scrolls && event.code.startsWith("Arrow")) return;
      event.preventDefault();
      this.held.add(event.code);
      this.send();
    } else if (event.code === "ShiftLeft" || event.code === "ShiftRight") {
      this.send();
    } else if (!event.repeat && !(onButton && (event.code === "Space" || event.code === "Enter"))) {
      if (this.onAct(event.code, event.key)) event.preventDefault();
    }
  }

  up(event) {
    this.slow = event.shiftKey;
    this.held.delete(event.code);
    this.send();
  }

  release() {
    this.held.clear();
    this.thumb = { forward: 0, yaw: 0 };
    this.send();
  }

  drag(stage) {
    stage.addEventListener("pointerdown", (event) => {
      if (!(event.target instanceof HTMLCanvasElement) || event.button !== 0) return;
      const canvas = event.target;
      const width = canvas.getBoundingClientRect().width;
      let [x, y] = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
      const move = (moved) => {
        const share = DEGREES_A_PICTURE / width;
        this.pull.yaw_deg += (moved.clientX - x) * share;
        this.pull.pitch_deg += (moved.clientY - y) * share;
        [x, y] = [moved.clientX, moved.clientY];
      };
      canvas.addEventListener("pointermove", move);
      const end = () => canvas.removeEventListener("pointermove", move);
      canvas.addEventListener("pointerup", end, { once: true });
      canvas.addEventListener("pointercancel", end, { once: true });
      event.preventDefault();
    });
  }

  joystick(stick) {
    const knob = stick.firstElementChild;
    const set = (event) => {
      const box = stick.getBoundingClientRect();
      const reach = box.width / 2;
      let x = (event.clientX - box.left - reach) / reach;
      let y = (event.clientY - box.top - reach) / reach;
      const length = Math.max(1, Math.hypot(x, y));
      [x, y] = [x / length, y / length];
      knob.style.transform = `translate(${x * reach * 0.6}px, ${y * reach * 0.6}px)`;
      this.thumb = { forward: round(-y), yaw: round(-x) };
    };
    stick.addEventListener("pointerdown", (event) => {
      stick.setPointerCapture(event.pointerId);
      set(event);
      stick.addEventListener("pointermove", set);
      const end = () => {
        stick.removeEventListener("pointermove", set);
        knob.style.transform = "";
        this.thumb = { forward: 0, yaw: 0 };
      };
      stick.addEventListener("pointerup", end, { once: true });
      stick.addEventListener("pointercancel", end, { once: true });
      event.preventDefault();
    });
  }

  // A button on the screen that is a key for as long as a finger is on it.
  hold(button) {
    const { code } = button.dataset;
    const end = () => this.held.delete(code) && this.send();
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      this.held.add(code);
      this.send();
      event.preventDefault();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(name, end);
    button.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // Of the standard layout: others have axes in any order, and some of those rest at -1.
  gamepad() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((each) => each?.connected && each.mapping === "standard");
    if (!pad) return {};
    const axis = (index) => (Math.abs(pad.axes[index] ?? 0) > 0.15 ? pad.axes[index] : 0);
    const pressed = pad.buttons[9]?.pressed ?? false;
    if (pressed && !this.started) this.onAct("Space", " ");
    this.started = pressed;
    return {
      right: axis(0), forward: -axis(1), yaw: -axis(2), pitch: -axis(3),
      up: (pad.buttons[7]?.value ?? 0) - (pad.buttons[6]?.value ?? 0),
    };
  }

  asked() {
    const sum = Object.fromEntries(AXES.map((axis) => [axis, 0]));
    for (const code of this.held) sum[KEYS[code][0]] += KEYS[code][1];
    for (const part of [this.thumb, this.gamepad()]) for (const axis in part) sum[axis] += part[axis];
    for (const axis of AXES) sum[axis] = round(Math.max(-1, Math.min(1, sum[axis])) * (this.slow ? SLOWER : 1));
    return sum;
  }

  // Whatever is held is told once more.
  again() {
    this.last = "";
  }

  // Called for every frame of the display: drags and sticks are gathered.
  tick(now) {
    if (now - this.sentAt >= SEND_MS) this.send(now);
  }

  send(now = performance.now()) {
    const asked = this.asked();
    const pull = { yaw_deg: clamp(this.pull.yaw_deg), pitch_deg: clamp(this.pull.pitch_deg) };
    const pulled = Math.abs(pull.yaw_deg) > 0.05 || Math.abs(pull.pitch_deg) > 0.05;
    const text = JSON.stringify(asked);
    if (text === this.last && !pulled) return;
    this.last = text;
    this.sentAt = now;
    this.pull = { yaw_deg: 0, pitch_deg: 0 };
    const moves = AXES.some((axis) => asked[axis] !== 0) || pulled;
    this.onLook({ ...asked, ...(pulled ? pull : {}) }, moves, now);
  }
}

function round(value) {
  return Math.round(value * 100) / 100;
}

function clamp(value) {
  return Math.max(-80, Math.min(80, round(value)));
}
