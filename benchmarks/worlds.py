"""Do the clips of a data set keep their promises, and do the two renderers agree on them?

    outofsight world build --out clips --clips 200 --seed 2026
    MUJOCO_GL=egl python benchmarks/worlds.py clips

Every clip must show a re-entry in the target half in its own rendered masks; projected boxes are compared with mask
boxes; and for some clips every few frames are rendered again by MuJoCo's OpenGL renderer, from the clip's spec.
"""

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from outofsight.data.card import dataset_stats, summary
from outofsight.data.check import box_iou, check_sample, mask_box_px
from outofsight.data.dataset import SampleEntry, open_dataset
from outofsight.types import Clip, Visibility
from outofsight.worlds.events import ReentryRule, least_pixels, reentries
from outofsight.worlds.model import WorldPoses, build_world, pose_world
from outofsight.worlds.render import RenderSettings, opengl_available, render_world
from outofsight.worlds.spec import WorldSpec, spec_from_dict
from record import add_out, finish

QUESTION = (
    "re-entries confirmed by masks; projected boxes against mask boxes; Warp masks against OpenGL masks"
)
LARGE_PX = 60  # masks below this are too small to compare by IoU


def returns_in_masks(clip: Clip) -> bool:
    """Look for a re-entry in the mask areas alone: seen in the context, gone long enough, seen in the target."""
    rule = clip.extra["reentry_rule"]
    least = least_pixels(*clip.video.shape[1:3])
    for subject in clip.subjects:
        area = (clip.masks == subject.subject_id).sum(axis=(1, 2))
        visibility = np.where(area >= least, Visibility.VISIBLE, Visibility.OUT_OF_VIEW).astype(np.int8)
        if reentries(visibility, ReentryRule(num_context_frames=clip.num_context_frames, **rule)):
            return True
    return False


def box_ious(clip: Clip) -> list[float]:
    """Compare the projected box with the mask's, for subjects wholly in the picture and hidden by nobody."""
    ious = []
    for subject in clip.subjects:
        for frame in np.flatnonzero(subject.visibility == Visibility.VISIBLE):
            mask = clip.masks[frame] == subject.subject_id
            if mask.sum() > LARGE_PX:
                ious.append(box_iou(subject.box_px[frame], mask_box_px(mask)))
    return ious


def renderer_ious(spec: WorldSpec, every: int) -> list[float]:
    """Render every so manieth frame with both renderers, and compare each subject's masks."""
    world = build_world(spec)
    poses = pose_world(world)
    few = slice(None, None, every)
    some = WorldPoses(
        geom_position_m=poses.geom_position_m[few], geom_rotation=poses.geom_rotation[few],
        camera_position_m=poses.camera_position_m[few], camera_rotation=poses.camera_rotation[few],
        qpos=poses.qpos[few],
    )  # fmt: skip
    short = replace(world, spec=replace(spec, num_context_frames=1, num_target_frames=len(some) - 1))
    traced = render_world(short, some, RenderSettings(renderer="warp")).ids
    drawn = render_world(short, some, RenderSettings(renderer="opengl")).ids
    ious = []
    for subject in world.subjects:
        for a, b in zip(traced == subject.subject_id, drawn == subject.subject_id, strict=True):
            if max(a.sum(), b.sum()) > LARGE_PX:
                ious.append(float((a & b).sum() / (a | b).sum()))
    return ious


def look_at(entry: SampleEntry) -> dict[str, Any]:
    clip = entry.read()
    findings = list(check_sample(entry))
    return {
        "returns": returns_in_masks(clip),
        "ious": box_ious(clip),
        "findings": findings,
        "spec": clip.extra["spec"],
    }


def spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    quantiles = np.quantile(values, [0.05, 0.5])
    return {
        "n": len(values),
        "mean": float(np.mean(values)),
        "p5": float(quantiles[0]),
        "median": float(quantiles[1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--renderer-clips", type=int, default=20, help="clips rendered by OpenGL too")
    parser.add_argument("--every", type=int, default=11, help="of those, every so manieth frame")
    add_out(parser)
    arguments = parser.parse_args()
    entries = open_dataset(arguments.folder).entries
    looks = [look_at(entry) for entry in track(entries, "reading", console=Console(stderr=True))]
    agreement: list[float] = []
    if opengl_available():
        step = max(1, len(looks) // arguments.renderer_clips)
        for look in track(
            looks[::step][: arguments.renderer_clips], "rendering", console=Console(stderr=True)
        ):
            agreement += renderer_ious(spec_from_dict(look["spec"]), arguments.every)
    figures = {
        "clips": len(looks),
        "clips_with_return_in_masks": sum(look["returns"] for look in looks),
        "findings": dict(Counter(finding for look in looks for finding in look["findings"])),
        "projected_box_against_mask_box_iou": spread([iou for look in looks for iou in look["ious"]]),
        "warp_against_opengl_mask_iou": spread(agreement),
        "contents": summary(dataset_stats(arguments.folder)),
    }
    config = {"renderer_clips": arguments.renderer_clips, "every": arguments.every}
    finish("worlds", QUESTION, config, figures, arguments.out)


if __name__ == "__main__":
    main()
