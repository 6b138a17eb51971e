"""How many bytes a rollout's state has, by torch's meta device: shapes only, nothing is computed."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from outofsight.codec.stream_decoding import decode_more
from outofsight.codec.video_vae import LatentTiling, spatial_factor
from outofsight.memory.banks.pictures import empty_views
from outofsight.memory.banks.state import bank_tensors
from outofsight.nn.live_bytes import peak_bytes
from outofsight.sampling.plan import VideoSize, token_grid
from outofsight.sampling.rollout_step import kept_history

WHOLE_IN_A_STEP = ("tracks.", "cutouts.", "time", "births")
"""Parts of the banks that every step may change as a whole; of the others it changes a slot for each latent frame."""


@dataclass(frozen=True, kw_only=True)
class RolloutSize:
    """Bytes of one moment: ``history`` of latents, what the ``decoder`` keeps, and the ``banks``. ``decoding``: the
    most that a step's decoding holds at once. ``history_of_step``, ``banks_of_step``: the most a step changes of them.
    """

    history: int
    decoder: int
    banks: int
    decoding: int
    history_of_step: int
    banks_of_step: int

    @property
    def state(self) -> int:
        return self.history + self.decoder + self.banks


def rollout_size(
    networks: dict[str, Any], size: VideoSize, latent_frames: int, tiling: LatentTiling | None = None
) -> RolloutSize:
    """Measure the state of a rollout that goes on in steps of so many latent frames. ``networks``: on meta."""
    transformer, vae = networks["transformer"], networks["vae"]
    grid = token_grid(transformer, vae, size)
    factor = spatial_factor(vae)
    kept = kept_history(transformer, grid.context_frames)
    frame = torch.empty(1, vae.config["z_dim"], 1, size.height // factor, size.width // factor, device="meta")
    coming = frame.expand(-1, -1, latent_frames, -1, -1)
    with torch.no_grad():
        _, decoded = decode_more(
            vae, coming, tiling=tiling
        )  # a video's first frame leaves less than later ones

    def decode() -> None:
        nonlocal decoded
        with torch.no_grad():
            _, decoded = decode_more(vae, coming, decoded, tiling=tiling)

    decoding = peak_bytes(decode)
    decoder = sum(value.nbytes for value in decoded.kept.values())
    banks = _banks(transformer, grid, (size.height, size.width))
    slots = banks["archive.filled"].shape[1] if banks else 1
    step = {name: _whole(name, slots) or latent_frames / slots for name in banks}
    return RolloutSize(
        history=kept * frame.nbytes,
        decoder=decoder,
        banks=sum(value.nbytes for value in banks.values()),
        decoding=decoding,
        history_of_step=min(kept, latent_frames) * frame.nbytes,
        banks_of_step=int(sum(min(1.0, step[name]) * value.nbytes for name, value in banks.items())),
    )


def _whole(name: str, slots: int) -> float:
    return 1.0 if name.startswith(WHOLE_IN_A_STEP) or slots == 0 else 0.0


def _banks(transformer: Any, grid: Any, size: tuple[int, int]) -> dict[str, Tensor]:
    if not transformer.has_banks:
        return {}
    device = torch.device("meta")
    banks = transformer.two_banks.empty(1, grid, device)
    if transformer.shows_rendered:
        slots = transformer.two_banks.settings.archive_slots
        banks = banks._replace(views=empty_views(1, slots, size, device))
    return bank_tensors(banks)
