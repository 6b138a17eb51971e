"""Frames as the recogniser is trained on them: cut, pasted, and spoiled as generated video is, all by seed."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from outofsight.training.recogniser_task import Spoiling

Frame = NDArray[np.uint8]
Ids = NDArray[np.uint8]


def pasted(frame: Frame, ids: Ids, backdrop: Frame, backdrop_ids: Ids) -> tuple[Frame, Ids]:
    """Put the subjects of one frame before another clip's frame; whoever is there already stays, unnamed and behind.

    A pixel of the backdrop's own subjects gets the id 255: a subject, of which nothing more is told.
    """
    subjects = ids > 0
    picture = np.where(subjects[..., None], frame, backdrop)
    return picture, np.where(subjects, ids, np.where(backdrop_ids > 0, UNNAMED, 0)).astype(np.uint8)


UNNAMED = 255
"""Id of a subject that belongs to another clip."""


def moved(frame: Frame, ids: Ids, settings: Spoiling, chance: np.random.Generator) -> tuple[Frame, Ids]:
    """Mirror the frame, and enlarge a part of it, or neither."""
    flip, zoom = chance.random() < settings.flip_share, chance.random() < settings.zoom_share
    scale, across, down = chance.uniform(settings.zoom, 1), chance.random(), chance.random()
    if flip:
        frame, ids = frame[:, ::-1], ids[:, ::-1]
    if not zoom:
        return np.ascontiguousarray(frame), np.ascontiguousarray(ids)
    height, width = ids.shape
    rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
    top, left = round(down * (height - rows)), round(across * (width - columns))
    part = (slice(top, top + rows), slice(left, left + columns))
    picture = _resized(_to_planes(frame[part].copy()), (height, width))
    nearest = interpolate(
        torch.from_numpy(ids[part].copy())[None, None].float(), (height, width), mode="nearest-exact"
    )
    return _to_frame(picture), nearest[0, 0].to(torch.uint8).numpy()


def spoiled(frame: Frame, settings: Spoiling, chance: np.random.Generator) -> Frame:
    """Spoil a frame as generated video is spoiled. Every kind of damage draws its numbers whether it is done or not."""
    coarsen, blur, blotch, noise, light = chance.random(5) < (
        settings.coarsen_share, settings.blur_share, settings.blotch_share, settings.noise_share, settings.light_share
    )  # fmt: skip
    coarseness, blur_px = (
        chance.uniform(1, settings.coarsest),
        chance.uniform(0.3, max(0.3, settings.most_blur_px)),
    )
    blotchiness, noisiness = chance.uniform(0, settings.most_blotch), chance.uniform(0, settings.most_noise)
    gain, shift = 1 + chance.uniform(-1, 1) * settings.most_light, chance.uniform(-1, 1) * settings.most_light
    planes = _to_planes(frame)
    height, width = planes.shape[-2:]
    if light:
        planes = planes * gain + shift * 255
    if coarsen:
        small = (max(1, round(height / coarseness)), max(1, round(width / coarseness)))
        planes = _resized(_resized(planes, small), (height, width))
    if blur:
        planes = blurred(planes, blur_px)
    if blotch:
        patches = chance.normal(size=(1, 3, -(-height // 8), -(-width // 8))).astype(np.float32)
        planes = planes + 255 * blotchiness * _resized(torch.from_numpy(patches), (height, width))
    if noise:
        planes = planes + 255 * noisiness * torch.from_numpy(
            chance.normal(size=(1, 3, height, width)).astype("f4")
        )
    return _to_frame(planes)


def blurred(planes: Tensor, sigma_px: float) -> Tensor:
    """Blur pictures [1, 3, height, width] by a Gaussian of this deviation; beyond the edge, the edge goes on."""
    radius = max(1, int(np.ceil(2.5 * sigma_px)))
    weights = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * sigma_px**2)).float()
    weights = (weights / weights.sum()).expand(planes.shape[1], 1, 1, -1)
    planes = conv2d(pad(planes, (radius, radius, 0, 0), mode="replicate"), weights, groups=planes.shape[1])
    rows = weights.transpose(-1, -2)
    return conv2d(pad(planes, (0, 0, radius, radius), mode="replicate"), rows, groups=planes.shape[1])


def _resized(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize by lines, averaging where it shrinks."""
    return interpolate(planes, size, mode="bilinear", align_corners=False, antialias=True)


def _to_planes(frame: Frame) -> Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float()


def _to_frame(planes: Tensor) -> Frame:
    pixels: Frame = planes[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return pixels
