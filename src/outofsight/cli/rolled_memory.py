"""What memory held in each step of a rollout: kept in a small file a step, and drawn when it is done.

A rollout from a clip of our engine is drawn against the truth: ``places.json`` says who was held for each subject,
how far off, for as long as the clip goes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outofsight.errors import CheckpointError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from outofsight.backbone.transformer import HydraTransformer3DModel
    from outofsight.cli.cases import CaseInputs
    from outofsight.evaluation.birdseye import MemoryStep, TrueSubjects
    from outofsight.sampling.rollout import Rollout
    from outofsight.sampling.rollout_step import StepRecord
    from outofsight.types import Clip

STEPS, PLACES = "steps", "places.json"

SAME_MOVE_M, SAME_TURN_DEG = 1e-3, 0.05
"""Two paths lie in one world if their cameras are no further apart: files round to fractions of a millimetre."""


def keep_step(folder: Path, record: "StepRecord", frames: "NDArray[np.uint8]") -> None:
    """Write down what memory held in a step, with the video frame that stands for each of its latent frames.

    Raises:
        OutputError: it cannot be written.
    """
    import torch

    from outofsight.codec.checkpoint_files import save_state_dict
    from outofsight.evaluation.rollouts import latent_pictures
    from outofsight.files import explained

    if record.archive is None or record.tracks is None or record.scores is None:
        raise InputError(
            "--memory-pictures: this model has no banks; the strategies hybrid, hybrid+hydra have"
        )
    parts: dict[str, Tensor] = {
        "cameras": record.cameras,
        "times": record.times,
        "scores": record.scores,
        "slots": torch.tensor(record.slots, dtype=torch.long),
        "pictures": torch.from_numpy(latent_pictures(record, frames)),
    }
    parts |= {f"archive.{name}": value for name, value in record.archive._asdict().items()}
    parts |= {f"tracks.{name}": value for name, value in record.tracks._asdict().items()}
    with explained(folder):
        (folder / STEPS).mkdir(parents=True, exist_ok=True)
    save_state_dict(_file(folder, record.step), parts)


def check_banks(transformer: "HydraTransformer3DModel") -> None:
    """See before any work that there will be memory to draw. Raises ``InputError`` if the model has no banks."""
    if not transformer.has_banks:
        name = transformer.config["memory_strategy"]
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
    """Read what was kept of the first ``num_steps`` steps.

    Raises:
        CheckpointError: a step is damaged, or was kept by a version whose banks hold other things.
    """
    from outofsight.codec.checkpoint_files import load_state_dict
    from outofsight.evaluation.birdseye import MemoryStep
    from outofsight.memory.banks.state import Archive, Tracks

    steps = []
    for number in range(1, num_steps + 1):
        parts = load_state_dict(_file(folder, number))
        wanted = {f"tracks.{name}" for name in Tracks._fields} | {
            f"archive.{name}" for name in Archive._fields
        }
        if missing := sorted((wanted | {"cameras", "times", "scores", "slots", "pictures"}) - parts.keys()):
            raise CheckpointError(
                f"{_file(folder, number)}: lacks {missing[0]}, so another version kept it; begin the rollout anew "
                "(--overwrite) for its memory pictures"
            )
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


def read_truth(folder: Path, inputs: "CaseInputs") -> "Clip | None":
    """Read a clip that is walked on from, if it is one of our engine, which knows where subjects are.

    ``None``: its annotation does not say so, or nothing follows its context.

    Raises:
        InputError: the rollout's context has other cameras than the clip's, so that it lies in another world.
        DatasetError: the annotation is damaged.
    """
    from outofsight.data.sample import read_sample
    from outofsight.sampling.rollout_state import apart

    if not (folder / "annotation.json").is_file():
        return None
    clip = read_sample(folder, with_masks=False, with_depth=False)
    if not clip.num_target_frames or not clip.subjects:
        return None
    if any(subject.world_from_subject is None for subject in clip.subjects):
        return None
    assert inputs.context is not None
    own = clip.cameras.world_from_camera[: clip.num_context_frames][-len(inputs.context) :]
    for ours, given in zip(own, inputs.context.world_from_camera, strict=True):
        moved, turned = apart(ours, given)
        if moved > SAME_MOVE_M or turned > SAME_TURN_DEG:
            raise InputError(
                f"--camera: its context cameras are not those of {folder} ({moved:.3g} m and {turned:.3g}° apart), so "
                "the clip's truth cannot be drawn; give a path in words, or leave out --memory-pictures"
            )
    return clip


def draw_steps(
    folder: Path, rollout: "Rollout", fps: float, inputs: "CaseInputs", clip: "Clip | None"
) -> str | None:
    """Draw what memory held, against the truth of ``clip``, and write how far off it was to places.json.

    ``fps``: latent frames a second. Returns what is to be said of it; ``None``: the truth is not known.

    Raises:
        OutputError: the folder cannot be written.
    """
    from outofsight.evaluation.memory_pictures import memory_pictures
    from outofsight.files import write_json

    steps = read_steps(folder, rollout.num_steps)
    fov_x_rad = rollout.fov_x_rad
    if clip is None:
        memory_pictures(steps, folder, fov_x_rad, fps=fps)
        return None
    truth, summary = _against_truth(rollout, steps, inputs, clip)
    memory_pictures(steps, folder, fov_x_rad, truth, fps)
    write_json(folder / PLACES, summary, indent=1)
    error = " and ".join(
        f"{summary[name]:.2f} m while {when}"
        for name, when in (("seen_error_m", "seen"), ("hidden_error_m", "hidden")) if summary[name] is not None
    )  # fmt: skip
    return (
        f"truth known for {summary['num_known']} of {len(summary['frames'])} latent frames: subjects are held in "
        f"{summary['held_share']:.0%} of them" + (f", their places off by {error}" if error else "")
    )


def _against_truth(
    rollout: "Rollout", steps: "list[MemoryStep]", inputs: "CaseInputs", clip: "Clip"
) -> "tuple[TrueSubjects, dict[str, Any]]":
    """Find where subjects truly are at the steps' moments, and how far off they were held.

    Identities are matched in the context, which the banks are shown once more for it.
    """
    import numpy as np

    from outofsight.evaluation.rollouts import seen_context, tracked_rollout
    from outofsight.evaluation.tracked_positions import positions_of_rollout, true_rollout
    from outofsight.sampling.rollout_state import flat_poses

    assert inputs.context is not None
    stride = rollout.world.temporal_stride
    _, context = seen_context(rollout.world, inputs.video, inputs.context, rollout.anchor)
    tracked = tracked_rollout(context, steps)
    seen_from = flat_poses(inputs.context.world_from_camera[::stride], rollout.anchor)[0].numpy()
    cameras = np.concatenate([seen_from, *(np.asarray(step.cameras) for step in steps)]).reshape(-1, 3, 4)
    fov_x_rad = rollout.fov_x_rad
    truth = true_rollout(clip, len(inputs.video), tracked.times, cameras, rollout.anchor, fov_x_rad)
    assert truth is not None
    return truth[tracked.num_context :], positions_of_rollout(tracked, truth)


def _file(folder: Path, step: int) -> Path:
    return folder / STEPS / f"step-{step:06d}.safetensors"
