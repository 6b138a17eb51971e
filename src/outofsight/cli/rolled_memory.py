"""What memory held in each step of a walk: kept in a small file a step, and drawn when the walk is done."""

from pathlib import Path
from typing import TYPE_CHECKING

from outofsight.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from outofsight.evaluation.memory_pictures import MemoryStep
    from outofsight.sampling.rollout_step import StepRecord
    from outofsight.sampling.world import WorldModel

STEPS = "steps"


def keep_step(folder: Path, record: "StepRecord", frames: "NDArray[np.uint8]") -> None:
    """Write down what memory held in a step, with the video frame that stands for each of its latent frames.

    Raises:
        OutputError: it cannot be written.
    """
    import torch

    from outofsight.codec.checkpoint_files import save_state_dict
    from outofsight.data.files import explained
    from outofsight.evaluation.rolling import memory_step

    if record.archive is None or record.tracks is None or record.scores is None:
        raise InputError(
            "--memory-pictures: this model has no banks; the strategies hybrid, hybrid+hydra have"
        )
    pictures = memory_step(record, frames).pictures
    assert pictures is not None
    parts: dict[str, Tensor] = {
        "cameras": record.cameras,
        "times": record.times,
        "scores": record.scores,
        "slots": torch.tensor(record.slots, dtype=torch.long),
        "pictures": torch.from_numpy(pictures),
    }
    parts |= {f"archive.{name}": value for name, value in record.archive._asdict().items()}
    parts |= {f"tracks.{name}": value for name, value in record.tracks._asdict().items()}
    with explained(folder):
        (folder / STEPS).mkdir(parents=True, exist_ok=True)
    save_state_dict(_file(folder, record.step), parts)


def check_banks(world: "WorldModel") -> None:
    """See before any work that there will be memory to draw. Raises ``InputError`` if the model has no banks."""
    if not world.transformer.has_banks:
        name = world.transformer.config["memory_strategy"]
        raise InputError(
            f"--memory-pictures: this model ({name}) has no banks; the strategies hybrid and hybrid+hydra have"
        )


def check_kept(folder: Path, num_steps: int) -> None:
    """See before any work that what was made so far can be drawn. Raises ``InputError`` if a step was not kept."""
    for number in range(1, num_steps + 1):
        if not _file(folder, number).is_file():
            raise InputError(
                f"--memory-pictures: {folder} lacks step {number}; give the folder, and from the first step on"
            )


def read_steps(folder: Path, num_steps: int) -> "list[MemoryStep]":
    """Read what was kept of the first ``num_steps`` steps. Raises ``CheckpointError`` if one is damaged."""
    from outofsight.codec.checkpoint_files import load_state_dict
    from outofsight.evaluation.memory_pictures import MemoryStep
    from outofsight.memory.banks.state import Archive, Tracks

    steps = []
    for number in range(1, num_steps + 1):
        parts = load_state_dict(_file(folder, number))
        steps.append(
            MemoryStep(
                cameras=parts["cameras"],
                times=parts["times"],
                tracks=Tracks(**{name: parts[f"tracks.{name}"] for name in Tracks._fields}),
                archive=Archive(**{name: parts[f"archive.{name}"] for name in Archive._fields}),
                scores=parts["scores"],
                slots=tuple(parts["slots"].tolist()),
                pictures=parts["pictures"].numpy(),
            )
        )
    return steps


def _file(folder: Path, step: int) -> Path:
    return folder / STEPS / f"step-{step:06d}.safetensors"
