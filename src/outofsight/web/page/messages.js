// Every message and its fields; a test compares them with the server's models.

export const VERSION = 2;

export const UP = {
  hello: ["version", "session"],
  look: ["number", "yaw", "pitch", "forward", "right", "up", "yaw_deg", "pitch_deg"],
  pause: ["on"],
  prompt: ["text"],
  pin: ["pane", "slot", "subject", "on"],
  forget: ["pane", "slot", "subject"],
  edit: ["pane", "subject", "x_m", "y_m"],
  rewind: ["pane", "step"],
  fork: ["step"],
  strategy: ["name"],
  focus: ["pane"],
  views: ["truth", "rendered"],
  save: ["name"],
  load: ["saved"],
  begin: ["seed", "scene", "light", "subjects", "num_subjects", "sheds"],
};

export const DOWN = {
  welcome: ["version", "session", "model", "strategies", "limits", "choices"],
  status: ["walking", "doing", "focus", "panes", "prompt", "world", "seed", "fps", "fov_deg", "frames_a_second",
    "seconds", "truth", "rendered", "has_truth", "has_rendered"],
  memory: ["pane", "step", "frame", "camera", "subjects", "views", "truth"],
  timeline: ["pane", "moments", "first_kept"],
  saves: ["walks"],
  cleared: ["pane", "open", "frame"],
  error: ["line"],
  busy: ["queue"],
  frame: ["pane", "view", "step", "frame", "heeds", "last", "pose"],
  picture: ["pane", "id"],
};

export function checked(kind, fields) {
  for (const name of Object.keys(fields)) {
    if (!UP[kind]?.includes(name)) throw new Error(`${kind} has no field ${name}`);
  }
  return JSON.stringify({ kind, ...fields });
}
