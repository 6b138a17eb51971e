"""LPIPS, by torchmetrics."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.perception.borrowed import first_line
from outofsight.perception.seeing import Frames, check_frames

NETWORKS = {"alex": "alex", "vgg": "vgg", "squeeze": "squeeze", "lpips": "alex"}
"""Names, and what torchmetrics calls them; the published measure is of AlexNet."""


class Lpips:
    """Distances between pictures, as published (Zhang et al. 2018); 0 where they are the same."""

    def __init__(self, metric: Any, device: str | torch.device) -> None:
        self.metric, self.device = metric.to(device), torch.device(device)

    @classmethod
    def load(cls, name: str, device: str | torch.device) -> "Lpips":
        """Load the network by name.

        Raises:
            InputError: an unknown name, or packages or weights that are not there.
        """
        if name not in NETWORKS:
            raise InputError(f"perceptual network {name!r}: not known; known are {', '.join(NETWORKS)}")
        lacking = [package for package in ("torchmetrics", "torchvision") if find_spec(package) is None]
        if lacking:
            raise InputError(
                f"perceptual network {name!r} needs {' and '.join(lacking)}: pip install {' '.join(lacking)} (of the "
                "version that fits this torch)"
            )
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity  # noqa: PLC0415

        try:
            metric = LearnedPerceptualImagePatchSimilarity(net_type=NETWORKS[name], normalize=True)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"perceptual network {name!r}: torchvision could not get its weights ({first_line(error)}); run once "
                "where there is a network"
            ) from error
        return cls(metric.eval(), device)

    def distances(self, a: Frames, b: Frames) -> NDArray[np.float64]:
        """Give one distance a frame [n]."""
        for frames in (a, b):
            check_frames(frames, "perceptual network")
        if a.shape != b.shape:
            raise InputError(
                f"perceptual network: expected two videos of one shape, got {a.shape} and {b.shape}"
            )
        values = []
        for left, right in zip(a, b, strict=True):  # one pair at a time: torchmetrics gives a batch's mean
            with torch.no_grad():
                values.append(float(self.metric(self._planes(left), self._planes(right))))
            self.metric.reset()
        return np.array(values)

    def _planes(self, frame: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(frame.copy()).to(self.device).permute(2, 0, 1)[None].float() / 255
