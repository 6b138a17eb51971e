"""How many bytes a rollout's state has, and what each way of generating needs on a card, by torch's meta device."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from outofsight.codec.quantisation import quantised_bytes
from outofsight.codec.stream_decoding import Decoded, decode_more
from outofsight.codec.video_vae import LatentTiling, spatial_factor
from outofsight.memory.banks.pictures import empty_views
from outofsight.memory.banks.state import bank_tensors
from outofsight.nn.live_bytes import peak_bytes
from outofsight.sampling.plan import (
    TEXT_TOKENS,
    VideoSize,
    encode_peak,
    forward_peak_bytes,
    network_bytes,
    plan_run,
    token_grid,
)
from outofsight.sampling.rollout_step import kept_history
from outofsight.types import LatentGrid

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
    decoded = Decoded()

    def decode() -> None:
        nonlocal decoded
        with torch.no_grad():
            _, decoded = decode_more(vae, coming, decoded, tiling=tiling)

    decode()  # a video's first frame leaves less than later ones
    decoding = peak_bytes(decode)
    decoder = sum(value.nbytes for value in decoded.kept.values())
    banks = _banks(transformer, grid, (size.height, size.width))
    slots = banks["archive.filled"].shape[1] if banks else 1
    share = min(1.0, latent_frames / slots) if slots else 1.0
    changed = {name: 1.0 if name.startswith(WHOLE_IN_A_STEP) else share for name in banks}
    return RolloutSize(
        history=kept * frame.nbytes,
        decoder=decoder,
        banks=sum(value.nbytes for value in banks.values()),
        decoding=decoding,
        history_of_step=min(kept, latent_frames) * frame.nbytes,
        banks_of_step=int(sum(changed[name] * value.nbytes for name, value in banks.items())),
    )


def _banks(transformer: Any, grid: Any, size: tuple[int, int]) -> dict[str, Tensor]:
    if not transformer.has_banks:
        return {}
    device = torch.device("meta")
    banks = transformer.two_banks.empty(1, grid, device)
    if transformer.shows_rendered:
        slots = transformer.two_banks.settings.archive_slots
        banks = banks._replace(views=empty_views(1, slots, size, device))
    return bank_tensors(banks)


OFFLOAD, TILES, CHUNK = "--offload model", "--tile-vae", "--attention-chunk 1"
SEQUENTIAL = "--offload sequential"
WORKS = {"text": "text_encoder", "encode": "vae", "denoise": "transformer", "decode": "vae"}
"""The network of each stage."""


@dataclass(frozen=True, kw_only=True)
class GpuRun:
    """How a model is run on a GPU. ``text_stays``: the text encoder is kept on the GPU, for many clips.
    ``tiny_decoder``: decoded by one, whose needs are not counted."""

    guided: bool = True
    offload: str = "none"
    tile_vae: bool = False
    attention_chunk: int | None = None
    quantize: str = "none"
    text_stays: bool = False
    tiny_decoder: bool = False


def generation_ways(networks: dict[str, Any], size: VideoSize, *, guided: bool) -> dict[str, int]:
    """Give the bytes that a continuation needs at once, by flags, from the fastest way to the smallest."""
    text = {"text": _text_peak(networks, guided)}
    whole = text | _activations(networks, size, None, None)
    tiled = text | _activations(networks, size, LatentTiling(), None)
    least = text | _activations(networks, size, LatentTiling(), 1)
    weights = quantised_bytes(networks, "none")
    layers = {name: _largest_layer(network) for name, network in networks.items()}
    return _plain_ways(weights, whole, tiled) | {
        f"{OFFLOAD} {TILES} {CHUNK}": _offloaded(weights, least),
        f"{SEQUENTIAL} {TILES} {CHUNK}": _offloaded(layers, least),
    }


def _plain_ways(weights: dict[str, int], whole: dict[str, int], tiled: dict[str, int]) -> dict[str, int]:
    return {
        "": _resident(weights, whole),
        TILES: _resident(weights, tiled),
        OFFLOAD: _offloaded(weights, whole),
        f"{OFFLOAD} {TILES}": _offloaded(weights, tiled),
    }


def generation_bytes(networks: dict[str, Any], size: VideoSize, run: GpuRun) -> int:
    """Give the bytes that one continuation needs at once."""
    tiling = LatentTiling() if run.tile_vae else None
    return _needed(networks, _activations(networks, size, tiling, run.attention_chunk), run)


def _needed(networks: dict[str, Any], stages: dict[str, int], run: GpuRun) -> int:
    if run.tiny_decoder:
        del stages["decode"]
    stages["text"] = _text_peak(networks, run.guided)
    weights = quantised_bytes(networks, run.quantize)
    if run.offload == "none":
        return _resident(weights, stages, text_stays=run.text_stays)
    layers = {name: _largest_layer(network) for name, network in networks.items()}
    return _offloaded(layers if run.offload == "sequential" else weights, stages)


def _resident(weights: dict[str, int], stages: dict[str, int], *, text_stays: bool = False) -> int:
    """Transformer and VAE stay; the text encoder comes and goes, or stays too."""
    visit = 0 if text_stays else weights["text_encoder"]
    return sum(weights.values()) - visit + max(stages["text"] + visit, *stages.values())


def _offloaded(held: dict[str, int], stages: dict[str, int]) -> int:
    """One network at a time, or one layer."""
    return max(held[WORKS[stage]] + peak for stage, peak in stages.items())


def rollout_ways(
    networks: dict[str, Any], size: VideoSize, latent_frames: int, *, guided: bool
) -> dict[str, int]:
    """Give the bytes that a step of a rollout needs at once, by flags; moments to go back to are in main memory."""
    text = {"text": _text_peak(networks, guided)}
    denoise = _step_peak(networks, size, latent_frames)
    whole = text | _rolled(networks, size, latent_frames, denoise, None)
    tiled = text | _rolled(networks, size, latent_frames, denoise, LatentTiling())
    return _plain_ways(quantised_bytes(networks, "none"), whole, tiled)


def rollout_bytes(networks: dict[str, Any], size: VideoSize, latent_frames: int, run: GpuRun) -> int:
    """Give the bytes that a step of one rollout needs at once."""
    denoise = _step_peak(networks, size, latent_frames)
    tiling = LatentTiling() if run.tile_vae else None
    return _needed(networks, _rolled(networks, size, latent_frames, denoise, tiling), run)


def _step_peak(networks: dict[str, Any], size: VideoSize, latent_frames: int) -> int:
    transformer, grid = networks["transformer"], token_grid(networks["transformer"], networks["vae"], size)
    kept = kept_history(transformer, grid.context_frames)
    step = LatentGrid(frames=kept + latent_frames, height=grid.height, width=grid.width, context_frames=kept)
    return forward_peak_bytes(transformer, step, TEXT_TOKENS)


def _rolled(
    networks: dict[str, Any], size: VideoSize, latent_frames: int, denoise: int, tiling: LatentTiling | None
) -> dict[str, int]:
    """Give what each stage holds beside weights, the state included."""
    rollout = rollout_size(networks, size, latent_frames, tiling)
    # The state before and the state after are there at once; decoding counts the decoder's new one.
    decode = rollout.decoding + rollout.banks + rollout.history
    return {
        "encode": encode_peak(networks["vae"], size, tiling),
        "denoise": rollout.state + denoise,
        "decode": rollout.state + decode,
    }


def _largest_layer(network: torch.nn.Module) -> int:
    """Bytes of the largest module's own tensors: what sequential offloading brings at a time."""
    return max(
        sum(value.nbytes for value in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
        for module in network.modules()
    )


def _activations(
    networks: dict[str, Any], size: VideoSize, tiling: LatentTiling | None, chunk: int | None
) -> dict[str, int]:
    networks["transformer"].attention_frames_per_chunk = chunk
    peaks = plan_run(networks, size, num_inference_steps=1, guided=False, tiling=tiling).peak_bytes
    networks["transformer"].attention_frames_per_chunk = None
    return {stage: peak - network_bytes(networks[WORKS[stage]]) for stage, peak in peaks.items()}


def _text_peak(networks: dict[str, Any], guided: bool) -> int:
    ids = torch.zeros(1 + guided, TEXT_TOKENS, dtype=torch.long, device="meta")
    return peak_bytes(lambda: networks["text_encoder"](input_ids=ids))
