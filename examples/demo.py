"""What `make demo` runs: a world in which someone leaves the picture and comes back, and the whole path of a model.

    python examples/demo.py --out out/demo

Writes `world.webp` (the clip, with what the subject does while nobody sees it), `sheet.png`, `map.png`, `clip.mp4`,
and `continuation.mp4`: the clip's second half as a model of the mini's size shows it. That model's weights are
random: it proves install, cameras, memory and files, and shows noise.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from make_untrained_model import SMALL, make_world
from PIL import Image, ImageDraw

from outofsight import SamplingSettings
from outofsight.data.video import write_video
from outofsight.types import CameraPath, Clip, Visibility
from outofsight.worlds.clip import render_clip
from outofsight.worlds.model import World, build_world
from outofsight.worlds.plan import plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.preview import contact_sheet, draw_map, save_picture
from outofsight.worlds.render import RenderSettings

SEED = 6
PANS = ("pan_left_right", "pan_right_left", "pan_left_hold", "pan_right_hold")
COLOURS = {"seen": (70, 160, 90), "hidden": (120, 120, 120), "returned": (230, 140, 20)}


def make_clip(seed: int, size: tuple[int, int]) -> tuple[World, Clip]:
    """Plan a world whose subject leaves and returns, and render it."""
    config = PlanConfig(
        scenes=("park",),
        kinds=("girl_with_balloon",),
        trajectories=PANS,
        max_subjects=1,
        height_px=size[0],
        width_px=size[1],
    )
    world = build_world(plan_world(seed, config).spec)
    return world, render_clip(f"seed_{seed}", world, RenderSettings(), config.rule)


def phases(clip: Clip) -> list[str]:
    """Say for each frame whether the subject that returns is seen, hidden, or back again."""
    returning = max(clip.subjects, key=lambda subject: int((subject.visibility > Visibility.CUT).sum()))
    names, has_left = [], False
    for visibility in returning.visibility:
        hidden = visibility > Visibility.CUT
        has_left |= bool(hidden)
        names.append("hidden" if hidden else "returned" if has_left else "seen")
    return names


def moving_picture(clip: Clip, path: Path) -> None:
    """Write the clip as an animated picture with its phases in a strip below."""
    height, width = clip.video.shape[1:3]
    pictures = []
    for frame, phase in zip(range(0, len(clip.video), 2), phases(clip)[::2], strict=True):
        picture = Image.new("RGB", (width, height + 18), COLOURS[phase])
        picture.paste(Image.fromarray(clip.video[frame]), (0, 0))
        half = "context" if frame < clip.num_context_frames else "target"
        ImageDraw.Draw(picture).text((6, height + 3), f"{half} {frame:3d}   subject {phase}", fill="white")
        pictures.append(picture)
    duration_ms = round(2000 / clip.fps)
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=duration_ms, loop=0, quality=70
    )


def continue_untrained(clip: Clip, out: Path) -> dict[str, float]:
    """Continue the context with a model that has learned nothing; returns seconds by stage."""
    model = make_world(SMALL, seed=0)
    poses, split = clip.cameras.world_from_camera, clip.num_context_frames
    result = model.continue_video(
        clip.video[:split],
        CameraPath(world_from_camera=poses[:split]),
        CameraPath(world_from_camera=poses[split:]),
        clip.caption,
        SamplingSettings(num_steps=2, guidance_scale=1.0),
        record_retrieval=True,
    )
    truth = clip.video[split:]
    write_video(out / "continuation.mp4", np.concatenate((truth, result.video), axis=2), clip.fps)
    assert result.retrieval is not None
    result.retrieval.save(out / "retrieval.safetensors")
    return result.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 320), metavar=("HEIGHT", "WIDTH"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    start = time.perf_counter()
    world, clip = make_clip(args.seed, tuple(args.size))
    seconds = {"world": time.perf_counter() - start}
    moving_picture(clip, args.out / "world.webp")
    write_video(args.out / "clip.mp4", clip.video, clip.fps)
    save_picture(contact_sheet(clip), args.out / "sheet.png")
    draw_map(world, clip.subjects, args.out / "map.png")
    print(clip.caption)
    for subject in clip.extra["subjects"]:
        for span in subject["reentries"]:
            print(
                f"{subject['noun']}: hidden from frame {span['exit_frame']}, back at frame {span['entry_frame']}"
            )

    _, small = make_clip(args.seed, (96, 160))
    seconds.update(continue_untrained(small, args.out))
    print("continuation.mp4: truth left, an untrained model right (noise, until a model is trained)")
    print("seconds:", json.dumps({name: round(value, 1) for name, value in seconds.items()}))
    print(*sorted(str(path) for path in args.out.iterdir()))


if __name__ == "__main__":
    main()
