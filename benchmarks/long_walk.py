"""Does a world stay itself for ten minutes? A camera swings there and back; each lap is compared with the engine's own.

    python benchmarks/long_walk.py --model mini --minutes 10 --out benchmarks/results/long_walk.json \
        --figure long_walk.png

The model walks as its folder recommends. At minutes 1, 5 and 10 the last whole lap is compared, pose by pose, with what
the engine renders of its own world under the same cameras: PSNR of scenery (pixels that show no subject of the
engine's). A subject that the model draws where there is none counts as an error of scenery. The figure shows the pose
farthest to the left at each of these minutes, below the engine's.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

from outofsight.model_folders import read_use
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.rollout import Rollout
from outofsight.sampling.rollout_state import RolloutLimits
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip
from outofsight.web.engine_view import EngineView
from outofsight.worlds.spec import spec_from_dict
from record import add_out, finish
from rolled_worlds import PERIOD_FRAMES, clip_for, resident_bytes, state_bytes, swinging

LATENT_FRAMES = 2
POSES_A_LAP = 20
LEFTMOST = PERIOD_FRAMES // 4 - 1
"""The frame of a lap whose camera is turned farthest to the left."""


def walking(model: str, clip: Clip) -> Rollout:
    """Start a walk from a clip's context, as the model's folder recommends."""
    use = read_use(model)
    own = dict(use.explore)
    world = WorldModel.from_pretrained(model, dtype=torch.float32)
    world.set_progress_bar_config(disable=True)
    if "strategy" in own:
        world.set_memory(own.pop("strategy"))
    split = clip.num_context_frames
    return world.start(
        clip.video[:split], clip.cameras[:split], clip.caption, limits=RolloutLimits(keep_steps=0),
        settings=SamplingSettings(**{**use.sampling, **own}), on_progress=lambda stage, done, total: None,
    )  # fmt: skip


def last_laps(num_frames: int, fps: float, minutes: tuple[float, ...]) -> dict[float, int]:
    """Say at which frame the last whole lap before each minute begins, of those that are walked."""
    ends = {minute: min(int(minute * 60 * fps), num_frames) for minute in minutes}
    return {minute: (end // PERIOD_FRAMES - 1) * PERIOD_FRAMES for minute, end in ends.items()}


def scenery_psnr(
    frames: NDArray[np.uint8], truth: NDArray[np.uint8], subjects: NDArray[np.integer[Any]]
) -> float:
    """Compare frames [n, h, w, 3] where the truth shows no subject, all pixels together."""
    error = (frames.astype(np.float32) - truth) ** 2
    return float(10 * np.log10(255**2 / error[subjects == 0].mean()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--figure", type=Path)
    add_out(parser)
    args = parser.parse_args()
    clip = clip_for(args.model, args.seed)
    rollout, first = walking(args.model, clip), clip.num_context_frames
    start, num_frames = rollout.last_pose, int(args.minutes * 60 * clip.fps)
    laps = last_laps(
        num_frames, clip.fps, tuple(m for m in (1, 5, 10) if m <= args.minutes) or (args.minutes,)
    )
    offsets = [LEFTMOST, *range(0, PERIOD_FRAMES, PERIOD_FRAMES // POSES_A_LAP)]
    wanted = {lap + offset for lap in laps.values() for offset in offsets}
    kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.float64]]] = {}
    seconds: list[float] = []
    for cameras in swinging(start, LATENT_FRAMES):
        begin, now = rollout.num_frames, time.perf_counter()
        frames = rollout.step(cameras)
        seconds.append(time.perf_counter() - now)
        for index in wanted & set(range(begin, begin + len(frames))):
            kept[index] = frames[index - begin], cameras.world_from_camera[index - begin]
        if len(seconds) % 30 == 0:
            print(f"{rollout.num_frames} of {num_frames} frames", flush=True)
        if rollout.num_frames >= num_frames:
            break
    engine = EngineView(spec_from_dict(clip.extra["spec"], clip.name))
    figures: dict[str, Any] = {"scenery_psnr": {}, "state_bytes": state_bytes(rollout.state)}
    columns = []
    for minute, lap in laps.items():
        indices = sorted({lap + offset for offset in offsets})
        made, poses = (np.stack(part) for part in zip(*(kept[index] for index in indices), strict=True))
        truth = engine.rendering(first + np.array(indices), poses)
        figures["scenery_psnr"][f"minute {minute:g}"] = scenery_psnr(made, truth.rgb, truth.ids)
        left = indices.index(lap + LEFTMOST)
        columns.append((minute, truth.rgb[left], made[left]))
    fifth = max(1, len(seconds) // 5)
    figures |= {
        "step_seconds": median(seconds), "frames_a_second": 4 * LATENT_FRAMES / median(seconds),
        "last_fifth_over_second": median(seconds[-fifth:]) / median(seconds[fifth : 2 * fifth]),
        "resident_bytes": resident_bytes(),
    }  # fmt: skip
    if args.figure is not None:
        draw(columns, args.figure)
    config = {"model": args.model, "seed": args.seed, "minutes": args.minutes, "world": clip.caption}
    finish("long_walk", "Does a world stay itself for ten minutes?", config, figures, args.out)


def draw(columns: list[tuple[float, NDArray[np.uint8], NDArray[np.uint8]]], path: Path) -> None:
    """Draw the engine's pictures above the model's, a column each minute."""
    figure, axes = plt.subplots(2, len(columns), figsize=(2.4 * len(columns), 3.6), squeeze=False)
    for column, (minute, true, made) in enumerate(columns):
        for row, image in enumerate((true, made)):
            axes[row, column].imshow(image, interpolation="nearest")
            axes[row, column].set_axis_off()
        axes[0, column].set_title(f"minute {minute:g}: the engine's", fontsize=9)
        axes[1, column].set_title("the model's", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
