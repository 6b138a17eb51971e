"""The demo's table: a model beside what needs no memory and what no model can pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from outofsight.evaluation.baselines import camera_warped, frozen, round_trip
from outofsight.evaluation.case import ClipCase, Video
from outofsight.evaluation.evidence import Measured
from outofsight.evaluation.metrics import measure_clip
from outofsight.sampling.inputs import to_uint8
from outofsight.world_model import WorldModelBase

METRICS_SHOWN = ("psnr", "fg_psnr", "fg_psnr_reentered")


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One video measured against the truth, by the names of ``METRICS_SHOWN``."""

    name: str
    measured: Mapping[str, Measured]


def compare(case: ClipCase, answers: Mapping[str, Callable[[], Video]]) -> tuple[TableRow, ...]:
    """Make and measure every answer to a clip, in the order given."""
    return tuple(
        TableRow(name=name, measured=measure_clip(case, make(), names=METRICS_SHOWN))
        for name, make in answers.items()
    )


def bounds(
    case: ClipCase, world: WorldModelBase, made: Video | None = None
) -> dict[str, Callable[[], Video]]:
    """Give what memory renders (``made``, where it does), baselines that need no memory, and the upper bound: the truth
    as the model's VAE can show it."""
    rendered = {} if made is None else {"what memory renders, as it is": lambda: made}
    return {
        **rendered,
        "last context frame, repeated": lambda: frozen(case),
        "last context frame, turned with the camera": lambda: camera_warped(case),
        "truth through the model's VAE": lambda: round_trip(case, lambda video: through_vae(world, video)),
    }


def through_vae(world: WorldModelBase, video: Video) -> Video:
    """Encode a video uint8 [n, h, w, 3] to latents and decode it again."""
    pixels = torch.from_numpy(video).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    return to_uint8(world.decode_latents(world.encode_video(pixels))[0])
