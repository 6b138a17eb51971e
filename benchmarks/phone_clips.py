"""Clips of our engine at a phone video's size, with true cameras, masks and lenses: what estimates are held to."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from outofsight.data.video import write_video
from outofsight.files import write_json
from outofsight.geometry.pose_files import write_poses
from outofsight.types import CameraPath
from outofsight.worlds.model import build_world, pose_world
from outofsight.worlds.plan import plan_world
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.render import RenderSettings, render_world

NUM_FRAMES, HEIGHT_PX, WIDTH_PX, FPS = 77, 480, 832, 15.0
"""A context's frames: the first half of a movement there and back."""

TRAJECTORIES = (
    "pan_left_right", "pan_right_hold", "pan_left_tilt_up", "orbit_left_away", "orbit_right_away", "orbit_left_trail",
    "truck_left_right", "truck_right_left", "dolly_in_turn_left", "handheld_pan", "handheld_hold", "follow_then_leave",
)  # fmt: skip
"""Four kinds of movement, three of each: pans, orbits, moves aside or ahead, and a hand's."""


@dataclass(frozen=True, kw_only=True)
class PhoneClip:
    """One rendered clip: ``name``, and the folder of video.mp4, masks.mp4 and cameras.json (the truth)."""

    name: str
    folder: Path


def phone_clips(
    folder: Path, first_seed: int, trajectories: tuple[str, ...] = TRAJECTORIES
) -> list[PhoneClip]:
    """Render what is not there yet, one clip a trajectory; subjects move in all of them."""
    clips = []
    for number, trajectory in enumerate(trajectories):
        clip = PhoneClip(name=trajectory, folder=folder / f"{first_seed + number}_{trajectory}")
        if not (clip.folder / "cameras.json").is_file():
            _render(clip, first_seed + number)
        clips.append(clip)
    return clips


def _render(clip: PhoneClip, seed: int) -> None:
    config = PlanConfig(
        trajectories=(clip.name,),
        height_px=HEIGHT_PX,
        width_px=WIDTH_PX,
        fps=FPS,
        num_context_frames=NUM_FRAMES,
    )
    plan = plan_world(seed, config)
    world = build_world(plan.spec, plan.layout)
    short = replace(plan.spec, num_context_frames=NUM_FRAMES - 1, num_target_frames=1)  # these frames alone
    rendering = render_world(
        replace(world, spec=short), pose_world(world), RenderSettings(supersampling=1, shadows=False)
    )
    clip.folder.mkdir(parents=True, exist_ok=True)
    write_video(clip.folder / "video.mp4", rendering.rgb, FPS)
    masks = np.repeat(np.where(rendering.ids > 0, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    write_video(clip.folder / "masks.mp4", masks, FPS, "lossless")
    write_json(clip.folder / "world.json", {"scene": plan.spec.scene, "seed": seed, "trajectory": clip.name})
    truth = CameraPath(
        world_from_camera=world.motion.world_from_camera[:NUM_FRAMES], intrinsics=plan.spec.intrinsics
    )
    write_poses(clip.folder / "cameras.json", truth)
