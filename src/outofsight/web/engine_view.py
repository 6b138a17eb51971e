"""What truly happens: our engine renders its own world under the walk's cameras, for as long as one walks on."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from outofsight.worlds.model import World, build_world
from outofsight.worlds.motion import WorldMotion
from outofsight.worlds.paths import trace_path
from outofsight.worlds.render import Rendering, RenderSettings, render_world
from outofsight.worlds.spec import WorldSpec


class EngineView:
    """A world made ready once, and rendered a few frames at a time."""

    def __init__(self, spec: WorldSpec) -> None:
        self.spec, self.world = spec, build_world(spec)

    def render(self, frames: NDArray[np.int64], world_from_camera: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Render some frames [n] of the world's time, rising, under cameras [n, 3, 4]: uint8 [n, h, w, 3]."""
        return self.rendering(frames, world_from_camera).rgb[: len(frames)]

    def rendering(self, frames: NDArray[np.int64], world_from_camera: NDArray[np.float64]) -> Rendering:
        """Render as ``render`` does, with masks; a single frame comes twice."""
        return render_world(self._at(frames, world_from_camera), settings=RenderSettings())

    def _at(self, frames: NDArray[np.int64], cameras: NDArray[np.float64]) -> World:
        """Give the world as a clip that has these frames alone; one of a single frame is doubled, to be a clip."""
        if len(cameras) == 1:
            frames, cameras = frames.repeat(2), cameras.repeat(2, axis=0)
        time_s = frames / self.spec.fps
        spec = replace(self.spec, num_context_frames=1, num_target_frames=len(cameras) - 1)
        motion = WorldMotion(
            time_s=time_s, world_from_camera=cameras,
            paths=tuple(trace_path(subject.path, time_s) for subject in self.spec.subjects),
        )  # fmt: skip
        subjects = tuple(
            subject if subject.sheds_at_frame is None
            else replace(subject, sheds_at_frame=int(np.searchsorted(frames, subject.sheds_at_frame)))
            for subject in self.world.subjects
        )  # fmt: skip
        return replace(self.world, spec=spec, motion=motion, subjects=subjects)
