// What a pane remembers, step after step. A step's record comes before its frames, so those of frames yet to be shown wait here.

const MOST_RECORDS = 64;
const MOST_TRAIL = 400;

export class Remembered {
  constructor() {
    this.clear(-1);
  }

  // The pane shows another past from now on: what came after the frame has not been. Before 0 begins another world.
  clear(frame) {
    const kept = (points) => (frame < 0 ? [] : (points ?? []).filter((point) => point.frame <= frame));
    this.records = kept(this.records);
    this.way = kept(this.way);
    for (const name of ["trails", "truths"]) {
      this[name] = new Map([...(this[name] ?? [])].map(([key, points]) => [key, kept(points)]));
    }
  }

  take(memory) {
    const last = this.records.at(-1);
    if (last?.frame === memory.frame) this.touched(this.records.pop(), memory);
    this.records.push(memory);
    if (this.records.length > MOST_RECORDS) this.records.shift();
    for (const subject of memory.subjects) trail(this.trails, subject.number, { ...subject, frame: memory.frame });
    for (const [index, subject] of memory.truth.entries()) {
      trail(this.truths, `${index} ${subject.name}`, { ...subject, frame: memory.frame });
    }
  }

  // A hand has pinned or forgotten something since the step: that counts at once, for the frames that still wait too.
  touched(before, after) {
    for (const [list, key] of [["subjects", "number"], ["views", "slot"]]) {
      const now = new Map(after[list].map((one) => [one[key], one]));
      const gone = new Set(before[list].map((one) => one[key]).filter((name) => !now.has(name)));
      this.records = this.records.map((record) => ({
        ...record,
        [list]: record[list].filter((one) => !gone.has(one[key])).map((one) => ({ ...one, pinned: now.get(one[key])?.pinned ?? one.pinned })),
      }));
    }
  }

  // The records before and after a frame, and how far it is on the way.
  around(frame) {
    const index = this.records.findIndex((record) => record.frame > frame);
    const before = this.records.at(index < 0 ? -1 : Math.max(0, index - 1)) ?? null;
    const after = index > 0 ? this.records[index] : before;
    const share = after === before ? 0 : (frame - before.frame) / (after.frame - before.frame);
    return { before, after, share };
  }

  // The step's record that is nearest to a frame.
  nearest(frame) {
    const { before, after, share } = this.around(frame);
    return share > 0.5 ? after : before;
  }

  // What is remembered at a frame: between two steps, places between the two.
  at(frame) {
    const { before, after, share } = this.around(frame);
    if (share === 0) return before;
    const [near, far, weight] = share > 0.5 ? [after, before, 1 - share] : [before, after, share];
    const blend = (one, other) => {
      if (!other) return one;
      const mixed = ["x_m", "y_m", "spread_m"].filter((field) => field in one);
      return { ...one, ...Object.fromEntries(mixed.map((field) => [field, one[field] + weight * (other[field] - one[field])])) };
    };
    return {
      ...near,
      subjects: near.subjects.map((one) => blend(one, far.subjects.find((other) => other.number === one.number))),
      truth: near.truth.map((one, index) => blend(one, far.truth[index])),
    };
  }

  // The camera of a frame that is on the screen.
  went(camera, frame) {
    if (this.way.at(-1)?.frame !== frame) this.way.push({ ...camera, frame });
    if (this.way.length > MOST_TRAIL * 8) this.way.shift();
  }
}

function trail(trails, name, point) {
  const points = trails.get(name) ?? [];
  if (points.at(-1)?.frame === point.frame) points.pop();
  points.push(point);
  if (points.length > MOST_TRAIL) points.shift();
  trails.set(name, points);
}
