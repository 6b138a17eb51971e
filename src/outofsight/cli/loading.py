"""Loading a model for the command line."""

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outofsight.errors import InputError
from outofsight.model_folders import ModelSource, find_model

if TYPE_CHECKING:
    import torch

    from outofsight.sampling.plan import VideoSize
    from outofsight.sampling.world import WorldModel

DTYPES = ("bfloat16", "float16", "float32")
OFFLOADS = ("none", "model", "sequential")


def parse_dtype(name: str) -> "torch.dtype":
    """Read a dtype's name."""
    import torch

    if name not in DTYPES:
        raise InputError(f"--dtype: expected one of {', '.join(DTYPES)}, got {name!r}")
    return getattr(torch, name)


def choose_device(name: str) -> "torch.device":
    """Read a device's name; "auto" is the GPU where there is one."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"--device {name}: cannot be used here; expected auto, cpu, or cuda where there is such a GPU"
        ) from error
    return device


def quiet_libraries() -> None:
    """Keep libraries' loading chatter off the screen; their errors still come."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", module=r"(huggingface_hub|diffusers|transformers)\b")


def check_loading(source: ModelSource) -> "tuple[torch.device, torch.dtype]":
    """Read how a model is to be run, before it is loaded: its device, and its dtype there.

    Raises:
        InputError: there is no such device, dtype, way to offload or to quantise, or they do not go together.
    """
    offload, quantize = source.offload, source.quantize
    if offload not in OFFLOADS:
        raise InputError(f"--offload: expected one of {', '.join(OFFLOADS)}, got {offload!r}")
    device = choose_device(source.device)
    if offload != "none" and device.type == "cpu":
        raise InputError(
            f"--offload {offload} moves weights off a GPU, but the run is on the CPU; leave it out"
        )
    dtype = parse_dtype(source.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    if quantize != "none":
        from outofsight.codec.quantisation import quantisation

        if offload == "sequential":
            raise InputError(
                f"--quantize {quantize}: does not go with --offload sequential; use --offload model"
            )
        quantisation(quantize, dtype, device)
    return device, dtype


def empty_model(source: ModelSource, *, whole: bool) -> dict[str, Any]:
    """Make a model's networks without weights, after seeing that its folder holds all of them; remembering as asked.

    ``whole``: read the weights' numbers too, as loading would: where nothing is loaded afterwards.

    Raises:
        CheckpointError: a model that is not there, or not whole. InputError: a strategy that it cannot remember by, or
            a tiny decoder of other latents.
    """
    import torch

    from outofsight.codec.tiny_decoder import load_tiny_decoder
    from outofsight.codec.video_vae import check_decoder
    from outofsight.whole_models import check_whole

    quiet_libraries()
    networks = _networks(source, torch.float32)
    if (folder := Path(find_model(source.path))).is_dir():
        check_whole(folder, values=whole)
    if source.vae is not None:
        check_decoder(load_tiny_decoder(source.vae), networks["vae"])
    return networks


def _networks(source: ModelSource, dtype: "torch.dtype") -> dict[str, Any]:
    from outofsight.memory.strategies import strategy
    from outofsight.sampling.plan import networks_on_meta

    networks = networks_on_meta(source.path, dtype)
    if source.strategy is not None:
        chosen = strategy(source.strategy)
        networks["transformer"].set_memory(chosen.name, chosen.settings)
    return networks


def check_room(
    source: ModelSource,
    size: "VideoSize | None" = None,
    *,
    guidance_scale: float = 1.0,
    latent_frames: int | None = None,
    text_stays: bool = False,
) -> None:
    """Refuse a model that needs more than a GPU has free, before it is read.

    ``size``: of the videos; ``None``: the weights alone are counted. ``latent_frames``: of a rollout's step; ``None``:
    the whole target at once. ``text_stays``: the text encoder is kept on the GPU.

    Raises:
        InputError: it does; the message says what helps.
    """
    import torch

    from outofsight.codec.quantisation import quantised_bytes
    from outofsight.sampling.card_fit import GpuRun, generation_bytes, rollout_bytes

    device, dtype = check_loading(source)
    if device.type != "cuda":
        return
    networks = _networks(source, dtype)
    run = GpuRun(
        guided=guidance_scale != 1, offload=source.offload, tile_vae=source.tile_vae,
        attention_chunk=source.attention_chunk, quantize=source.quantize, text_stays=text_stays,
        tiny_decoder=source.vae is not None,
    )  # fmt: skip
    what = "run needs about"
    if size is None:
        what, weights = "weights need", quantised_bytes(networks, run.quantize)
        needed = {"none": sum(weights.values()), "model": max(weights.values()), "sequential": 0}[run.offload]
    elif latent_frames is None:
        needed = generation_bytes(networks, size, run)
    else:
        needed = rollout_bytes(networks, size, latent_frames, run)
    free, whole = torch.cuda.mem_get_info(device)
    if needed > free:
        other = {"none": "add --offload model, ", "model": "see --offload, ", "sequential": ""}[run.offload]
        raise InputError(
            f"{device}: {source.path}'s {what} {needed / 2**30:.1f} GiB there at once, {free / 2**30:.1f} of "
            f"{whole / 2**30:.1f} GiB are free; {other}free some memory, or see what fits: outofsight info "
            f"{source.path} --vram {whole / 2**30:.0f}"
        )


def load_world(source: ModelSource) -> "WorldModel":
    """Load a model onto a device, in bfloat16 on a GPU and float32 on a CPU unless told otherwise."""
    from outofsight.codec.quantisation import quantisation
    from outofsight.codec.tiny_decoder import load_tiny_decoder
    from outofsight.sampling.world import WorldModel

    device, dtype = check_loading(source)
    quiet_libraries()
    tiny = None if source.vae is None else load_tiny_decoder(source.vae)
    check_room(source)
    quantised = source.quantize != "none"
    more = {"quantization_config": quantisation(source.quantize, dtype, device)} if quantised else {}
    world = WorldModel.from_pretrained(source.path, dtype=dtype, **more)
    world.tiny_decoder = tiny
    if source.offload == "model":
        world.enable_model_cpu_offload(device=device)
    elif source.offload == "sequential":
        world.enable_sequential_cpu_offload(device=device)
    else:
        # The text encoder stays on the CPU until it is needed.
        for part in (world.transformer, world.vae) if device.type != "cpu" else ():
            part.to(device)
    world.transformer.attention_frames_per_chunk = source.attention_chunk
    if source.strategy is not None:
        world.set_memory(source.strategy)
    return world
