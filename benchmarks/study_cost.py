"""What retrieval and writing cost, as shares of a rollout's step, against the size of the banks.

The weights do not matter for time: a model's own are taken, and its memory is changed to ``hybrid`` with banks of each
size. ``recall`` is retrieval, ``observe`` reading and writing, ``keys`` the recalled tokens' way through the blocks.
"""

from statistics import median
from typing import Any

from rolled_worlds import begun, clip_of_seed, remembering, state_bytes, swinging

ARCHIVES = (8, 24, 72, 216)
TOP_KS = (4, 8, 16)


def bank_sizes() -> list[dict[str, int]]:
    """List the banks to time: archives of each size with 8 slots retrieved, then the usual archive with other top-k."""
    sizes = [{"archive_slots": slots, "subject_slots": 4, "top_k": 8} for slots in ARCHIVES]
    sizes += [{"archive_slots": 24, "subject_slots": 4, "top_k": k} for k in TOP_KS if k != 8]
    return [*sizes, {"archive_slots": 24, "subject_slots": 16, "top_k": 8}]


def cost_rows(model: str, num_steps: int, latent_frames: int, timed: int) -> list[dict[str, Any]]:
    """Roll with banks of each size; the median of the timed steps' seconds by stage. ``window`` has no banks."""
    clip = clip_of_seed(7)
    rows = []
    for banks in (None, *bank_sizes()):
        world = remembering(model, "window" if banks is None else "hybrid", banks)
        with begun(world, clip, num_steps) as rollout:
            path = swinging(rollout.last_pose, latent_frames)
            for _ in range(2 + timed):
                rollout.step(next(path))
            stages = [dict(record.seconds) for record in rollout.records][2:]  # the first warm up
            size = state_bytes(rollout.state)
        spent = {
            name: median(one.get(name, 0.0) for one in stages)
            for name in ("recall", "keys", "observe", "denoise", "decode")
        }
        step = median(sum(one.values()) for one in stages)
        rows.append({
            "archive_slots": 0 if banks is None else banks["archive_slots"],
            "subject_slots": 0 if banks is None else banks["subject_slots"],
            "top_k": 0 if banks is None else banks["top_k"], "step_ms": round(1000 * step, 1),
            **{f"{name}_ms": round(1000 * value, 1) for name, value in spent.items()},
            "recall_share": round(spent["recall"] / step, 4), "observe_share": round(spent["observe"] / step, 4),
            "state_kilobytes": round(size / 1024, 1),
        })  # fmt: skip
    return rows
