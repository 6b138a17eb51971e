"""Scenery painted on the sky, planes at known depths, and subjects of one colour: what memory renders, by hand."""

import numpy as np
import torch
from torch import Tensor

from outofsight.memory.banks.pictures import Picture
from outofsight.memory.banks.state import Cutouts, Views
from outofsight.memory.rendering import PlacedSubjects

SIZE = (16, 32)
LENS = torch.tensor([[0.5, 1.0, 0.5, 0.5]])
"""Square pixels, a focal length of 16 pixels: one metre at 4 m is 4 pixels wide."""


def pose(yaw_deg: float = 0.0, position: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Tensor:
    """A camera [1, 12] turned to the right."""
    angle = np.deg2rad(yaw_deg)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return torch.from_numpy(
        np.concatenate([turn, np.array(position)[:, None]], axis=1).reshape(1, 12)
    ).float()


def directions(camera: Tensor, lens: Tensor = LENS, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The direction [h, w, 3] of every pixel's ray, by the pinhole formula."""
    fx, fy, cx, cy = lens[0].double().numpy()
    x, y = np.meshgrid((np.arange(size[1]) + 0.5) / size[1], (np.arange(size[0]) + 0.5) / size[0])
    local = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], axis=-1)
    return local @ camera.reshape(3, 4)[:, :3].double().numpy().T


def painted(camera: Tensor, lens: Tensor = LENS, size: tuple[int, int] = SIZE) -> Tensor:
    """What a camera sees of a sky whose three colours are slow waves of the direction: float [3, h, w] in [−1, 1]."""
    rays = directions(camera, lens, size)
    across, up = np.arctan2(rays[..., 0], rays[..., 2]), rays[..., 1] / np.hypot(rays[..., 0], rays[..., 2])
    waves = (np.sin(3 * across + 1), np.cos(2 * across - up), np.sin(2 * up + across))
    return torch.from_numpy(0.8 * np.stack(waves)).float()


def to_bytes(picture: Tensor) -> Tensor:
    return ((picture + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def within(camera: Tensor, view: Tensor, lens: Tensor = LENS, view_lens: Tensor = LENS) -> Tensor:
    """Which pixels [h, w] of a camera look where a view at the same place has pixels too."""
    local = directions(camera, lens) @ view.reshape(3, 4)[:, :3].double().numpy()
    fx, fy, cx, cy = view_lens[0].double().numpy()
    x, y = fx * local[..., 0] / local[..., 2] + cx, fy * local[..., 1] / local[..., 2] + cy
    inside = (local[..., 2] > 0) & (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    return torch.from_numpy(inside)


def views_of(*cameras: Tensor, lenses: list[Tensor] | None = None, **changes) -> Views:
    """Views of the painted sky by cameras [1, 12], of which all is static."""
    lenses = lenses or [LENS] * len(cameras)
    pictures = [to_bytes(painted(camera, lens)) for camera, lens in zip(cameras, lenses, strict=True)]
    count = len(cameras)
    views = Views(
        pixels=torch.stack(pictures)[None],
        static=torch.full((1, count, *SIZE), 255, dtype=torch.uint8),
        poses=torch.stack(cameras, dim=1),
        intrinsics=torch.stack(lenses, dim=1),
        times=torch.arange(count)[None].float(),
        filled=torch.ones(1, count, dtype=torch.bool),
    )
    return views._replace(**changes)


def coloured_view(pixels: Tensor, depth: Tensor | float, camera: Tensor | None = None) -> Views:
    """One view of given pixels uint8 [3, h, w] whose depth is known."""
    camera = pose() if camera is None else camera
    view = views_of(camera)
    depth = torch.as_tensor(depth, dtype=torch.float32).expand(1, 1, *SIZE)
    return view._replace(pixels=pixels[None, None], depth=depth)


def noise_picture(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, *SIZE), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def boards(*colours: tuple[int, int, int], half_m: tuple[float, ...] = (1.0,), sides: int = 1) -> Cutouts:
    """Opaque square cut-outs, one colour a subject, 2·``half_m`` metres wide, around the subject's origin."""
    pixels = torch.zeros(1, len(colours), sides, 4, 48, 48, dtype=torch.uint8)
    for index, colour in enumerate(colours):
        pixels[0, index, :, :3] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
        pixels[0, index, :, 3] = 255
    half = torch.tensor(half_m).expand(len(colours))
    box = torch.stack((0 * half, 0 * half, half, half), dim=-1)[None, :, None].expand(-1, -1, sides, -1)
    shape = (1, len(colours), sides)
    return Cutouts(pixels=pixels, box=box.clone(), side=torch.zeros(shape), quality=torch.ones(shape))


def placed(
    *positions: tuple[float, ...], velocity: tuple[float, ...] = (0.0, 0.0, 0.0), frames: int = 1
) -> PlacedSubjects:
    """Subjects that stand at the same places in every frame."""
    where = torch.tensor(positions).expand(1, frames, len(positions), 3).clone()
    moves = torch.tensor(velocity).expand(1, frames, len(positions), 3)
    return PlacedSubjects(where, moves, torch.ones(1, frames, len(positions)))


def picture_of(
    pixels: Tensor, subject: Tensor | None = None, camera: Tensor | None = None, time: float = 0.0
) -> Picture:
    """A frame uint8 [3, h, w] with its camera; ``subject`` [h, w]: where a subject is."""
    subject = torch.zeros(SIZE) if subject is None else subject
    return Picture(
        pixels[None], subject[None].float(), pose() if camera is None else camera, torch.tensor([time]), LENS
    )


RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


def colour(rgb: tuple[int, int, int]) -> Tensor:
    """A colour as it is drawn: in [−1, 1], ready for [3, h, w]."""
    return (torch.tensor(rgb) / 127.5 - 1)[:, None, None]
