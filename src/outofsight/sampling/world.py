"""``WorldModel``: a world model together with what it can do."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from outofsight.codec.video_vae import LatentTiling
from outofsight.memory.strategies import strategy
from outofsight.sampling.continuation import (
    Cameras,
    Continuation,
    OnProgress,
    SamplingSettings,
    continue_video,
)
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase


class WorldModel(WorldModelBase):
    """A world model that shows what comes next.

    ::

        world = WorldModel.from_pretrained("path/to/model", torch_dtype=torch.bfloat16).to("cuda")
        result = world.continue_video(video, context_path, target_path, "A man walks down a street.")
    """

    def continue_video(
        self,
        video: NDArray[np.uint8] | Tensor,
        context_cameras: CameraPath | None,
        target_cameras: Cameras,
        prompt: str,
        settings: SamplingSettings | None = None,
        *,
        subject_masks: NDArray[np.uint8] | None = None,
        tiling: LatentTiling | None = None,
        record_retrieval: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Continuation:
        """Show what follows ``video`` along ``target_cameras``.

        ``video``: uint8 [n, height, width, 3], or float [n, 3, height, width] in [−1, 1]; any n = 4k + 1, published
        77. ``context_cameras``, ``target_cameras``: one world pose for each video frame, any 4k + 1 target frames;
        a ``CameraConditioning`` in place of the target holds both halves already and leaves the context ``None``.
        ``subject_masks``: uint8 [n, height, width], which subject (0: none) each pixel of the context shows, or of the
        whole clip; models of some strategies ask for it (``transformer.needs_subject_masks``), others do not look.
        ``tiling``: encode and decode in overlapping tiles, for less memory. ``record_retrieval``: keep which memory
        slices each frame retrieved, at each layer and step. ``on_progress``: replaces the progress bar.

        Raises:
            VideoError: a size or type that the model cannot take.
            CameraError: cameras that do not fit the video.
            InputError: a number of frames that is not 4k + 1, or an empty prompt.
        """
        return continue_video(
            self,
            video,
            context_cameras,
            target_cameras,
            prompt,
            settings or SamplingSettings(),
            subject_masks=subject_masks,
            tiling=tiling,
            record_retrieval=record_retrieval,
            on_progress=on_progress,
        )

    def remember_by(self, name: str) -> None:
        """Remember by another strategy, with the weights as they are.

        Raises:
            InputError: there is no such strategy, or it needs weights that this model has not learned.
        """
        chosen = strategy(name)
        self.transformer.change_memory(chosen.name, chosen.settings)
