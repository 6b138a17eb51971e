"""What a walk begins with: a context, its cameras, a caption, and the world behind it where the engine made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CheckpointError, WorldError
from outofsight.types import CameraPath, Clip, Intrinsics
from outofsight.worlds.paths import trace_path
from outofsight.worlds.spec import WorldSpec, spec_from_dict, spec_to_dict


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """``video`` uint8 [n, h, w, 3] and ``cameras`` of the context; a resumed walk has none. ``lens``: ``None`` where it
    is not known. ``spec``: of our engine, made from ``seed``; the walk begins at its frame ``first_frame``."""

    caption: str
    fps: float
    video: NDArray[np.uint8] | None = None
    cameras: CameraPath | None = None
    lens: Intrinsics | None = None
    spec: WorldSpec | None = None
    first_frame: int = 0
    seed: int | None = None
    name: str = ""

    def times_s(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give the world's time of frames that are counted from the first one shown."""
        return np.asarray((frames + self.first_frame) / self.fps)

    def true_places(self, frame: int) -> list[tuple[str, NDArray[np.float64]]]:
        """Say who is truly where, [3] metres in the world, at a frame that is shown; nobody where it is not known."""
        if self.spec is None:
            return []
        # stop_and_go sums up its way on a fine grid, which a single late moment does not shorten
        moment = self.times_s(np.array([frame]))
        places = [trace_path(subject.path, moment).position_m[0] for subject in self.spec.subjects]
        return [
            (subject.kind, np.array([*place, 0.0]))
            for subject, place in zip(self.spec.subjects, places, strict=True)
        ]


def scene_of_clip(clip: Clip, num_context: int, seed: int | None = None) -> Scene:
    """Take a clip's context, its last ``num_context`` frames of it; the spec where its annotation has one.

    Raises:
        WorldError: the spec is damaged.
    """
    split = clip.num_context_frames
    begin = max(split - num_context, 0)
    spec = clip.extra.get("spec")
    known = isinstance(spec, dict) and "subjects" in spec and "layout_seed" in spec
    return Scene(
        caption=clip.caption, fps=clip.fps, video=clip.video[begin:split], cameras=clip.cameras[begin:split],
        lens=clip.cameras.intrinsics, spec=spec_from_dict(spec, clip.name) if known else None, first_frame=split,
        seed=seed, name=clip.name,
    )  # fmt: skip


def scene_notes(scene: Scene) -> dict[str, Any]:
    """Write down, as JSON can hold it, what a resumed walk must know of its scene."""
    lens = scene.lens
    return {
        "caption": scene.caption,
        "fps": scene.fps,
        "lens": None if lens is None else vars(lens),
        "spec": None if scene.spec is None else spec_to_dict(scene.spec),
        "first_frame": scene.first_frame,
        "seed": scene.seed,
        "name": scene.name,
    }


def scene_from_notes(notes: Mapping[str, Any], source: str) -> Scene:
    """Undo ``scene_notes``, but for the context. Raises ``CheckpointError``."""
    try:
        lens, spec = notes["lens"], notes["spec"]
        return Scene(
            caption=str(notes["caption"]), fps=float(notes["fps"]), lens=None if lens is None else Intrinsics(**lens),
            spec=None if spec is None else spec_from_dict(spec, source), first_frame=int(notes["first_frame"]),
            seed=None if notes["seed"] is None else int(notes["seed"]), name=str(notes["name"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, WorldError) as error:
        raise CheckpointError(f"{source}: does not say what walk it is ({error}); it is damaged") from error
