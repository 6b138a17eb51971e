"""Loading a model for the command line."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outofsight.errors import InputError

if TYPE_CHECKING:
    import torch

    from outofsight.sampling.card_fit import GpuRun
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


def check_loading(
    device_name: str, dtype_name: str | None, offload: str, quantize: str = "none"
) -> "tuple[torch.device, torch.dtype]":
    """Read how a model is to be run, before it is loaded: its device, and its dtype there.

    Raises:
        InputError: there is no such device, dtype, way to offload or to quantise, or they do not go together.
    """
    if offload not in OFFLOADS:
        raise InputError(f"--offload: expected one of {', '.join(OFFLOADS)}, got {offload!r}")
    device = choose_device(device_name)
    if offload != "none" and device.type == "cpu":
        raise InputError(
            f"--offload {offload} moves weights off a GPU, but the run is on the CPU; leave it out"
        )
    dtype = parse_dtype(dtype_name or ("float32" if device.type == "cpu" else "bfloat16"))
    if quantize != "none":
        from outofsight.codec.quantisation import quantisation

        if offload == "sequential":
            raise InputError(
                f"--quantize {quantize}: does not go with --offload sequential; use --offload model"
            )
        quantisation(quantize, dtype, device)
    return device, dtype


def empty_model(
    model: str, strategy_name: str | None, *, whole: bool, decoder: Path | None = None
) -> "dict[str, Any]":
    """Make a model's networks without weights, after seeing that its folder holds all of them; remembering as asked.

    ``whole``: read the weights' numbers too, as loading would: where nothing is loaded afterwards. ``decoder``: a tiny
    decoder's file, which must be whole and fit.

    Raises:
        CheckpointError: a model that is not there, or not whole. InputError: a strategy that it cannot remember by, or
            a decoder of other latents.
    """
    import torch

    from outofsight.codec.tiny_decoder import load_tiny_decoder
    from outofsight.codec.video_vae import check_decoder
    from outofsight.memory.strategies import strategy
    from outofsight.model_folders import find_model
    from outofsight.sampling.plan import networks_on_meta
    from outofsight.whole_models import check_whole

    quiet_libraries()
    networks = networks_on_meta(model, torch.float32)
    if (folder := Path(find_model(model))).is_dir():
        check_whole(folder, values=whole)
    if strategy_name is not None:
        chosen = strategy(strategy_name)
        networks["transformer"].set_memory(chosen.name, chosen.settings)
    if decoder is not None:
        check_decoder(load_tiny_decoder(decoder), networks["vae"])
    return networks


def check_room(
    model: str,
    dtype: "torch.dtype",
    device: "torch.device",
    run: "GpuRun",
    needs: Callable[[dict[str, Any]], int] | None = None,
    strategy_name: str | None = None,
) -> None:
    """Refuse a model that needs more than a GPU has free, before it is read.

    ``needs``: counts what a run needs at once, by the networks without numbers; ``None``: the weights alone.

    Raises:
        InputError: it does; the message says what helps.
    """
    import torch

    from outofsight.codec.quantisation import quantised_bytes
    from outofsight.memory.strategies import strategy
    from outofsight.sampling.plan import networks_on_meta

    if device.type != "cuda":
        return
    networks = networks_on_meta(model, dtype)
    if strategy_name is not None:
        chosen = strategy(strategy_name)
        networks["transformer"].set_memory(chosen.name, chosen.settings)
    weights = quantised_bytes(networks, run.quantize)
    held = {"none": sum(weights.values()), "model": max(weights.values()), "sequential": 0}[run.offload]
    what, needed = ("weights need", held) if needs is None else ("run needs about", needs(networks))
    free, whole = torch.cuda.mem_get_info(device)
    if needed > free:
        other = {"none": "add --offload model, ", "model": "see --offload, ", "sequential": ""}[run.offload]
        raise InputError(
            f"{device}: {model}'s {what} {needed / 2**30:.1f} GiB there at once, {free / 2**30:.1f} of "
            f"{whole / 2**30:.1f} GiB are free; {other}free some memory, or see what fits: outofsight info {model} "
            f"--vram {whole / 2**30:.0f}"
        )


def load_world(
    model: str,
    device_name: str,
    dtype_name: str | None,
    offload: str,
    decoder: Path | None = None,
    quantize: str = "none",
) -> "WorldModel":
    """Load a model onto a device, in bfloat16 on a GPU and float32 on a CPU unless told otherwise.

    ``decoder``: a tiny decoder's file, to decode in the VAE's place.
    """
    from outofsight.codec.quantisation import quantisation
    from outofsight.codec.tiny_decoder import load_tiny_decoder
    from outofsight.sampling.card_fit import GpuRun
    from outofsight.sampling.world import WorldModel

    device, dtype = check_loading(device_name, dtype_name, offload, quantize)
    quiet_libraries()
    tiny = None if decoder is None else load_tiny_decoder(decoder)
    check_room(model, dtype, device, GpuRun(offload=offload, quantize=quantize))
    more = {} if quantize == "none" else {"quantization_config": quantisation(quantize, dtype, device)}
    world = WorldModel.from_pretrained(model, dtype=dtype, **more)
    world.tiny_decoder = tiny
    if offload == "model":
        world.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        world.enable_sequential_cpu_offload(device=device)
    else:
        # The text encoder stays on the CPU until it is needed.
        for part in (world.transformer, world.vae) if device.type != "cpu" else ():
            part.to(device)
    return world
