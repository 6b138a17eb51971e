"""Loading a model for the command line."""

import logging
import warnings
from typing import TYPE_CHECKING

from outofsight.errors import InputError

if TYPE_CHECKING:
    import torch

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
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--device {name}: torch cannot use it here ({reason})") from error
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


def load_world(model: str, device_name: str, dtype_name: str | None, offload: str) -> "WorldModel":
    """Load a model onto a device, in bfloat16 on a GPU and float32 on a CPU unless told otherwise."""
    import torch

    from outofsight.sampling.world import WorldModel

    if offload not in OFFLOADS:
        raise InputError(f"--offload: expected one of {', '.join(OFFLOADS)}, got {offload!r}")
    device = choose_device(device_name)
    if offload != "none" and device.type == "cpu":
        raise InputError(
            f"--offload {offload} moves weights off a GPU, but the run is on the CPU; leave it out"
        )
    default = "float32" if device.type == "cpu" else "bfloat16"
    dtype: torch.dtype = parse_dtype(dtype_name or default)
    quiet_libraries()
    world = WorldModel.from_pretrained(model, dtype=dtype)
    if offload == "model":
        world.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        world.enable_sequential_cpu_offload(device=device)
    else:
        # The text encoder stays on the CPU until it is needed.
        for part in (world.transformer, world.vae) if device.type != "cpu" else ():
            part.to(device)
    return world
