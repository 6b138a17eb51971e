"""Training on pixels: the network that reads who is a subject, and the skip by which a render reaches the decoder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from outofsight.codec.patch_autoencoder import DecoderSkip, PatchVideoAutoencoder
from outofsight.codec.video_vae import decode_latents, encode_video
from outofsight.data.dataset import Dataset
from outofsight.data.mirroring import mirrored
from outofsight.errors import CheckpointError, DatasetError, InputError
from outofsight.memory.banks.mask_reader import MaskReader, evidence
from outofsight.memory.rendering import given_to_skip, render
from outofsight.model_folders import read_use
from outofsight.training.batches import Batch, ClipBatches, ClipStore, subject_mask
from outofsight.training.config import TrainConfig
from outofsight.training.models import (
    choose_trainable,
    load_weights,
    load_world_to_train,
    save_world,
    with_memory,
)
from outofsight.training.randomness import first_weights, generator_for
from outofsight.training.rendered_truth import all_views, clip_memory, context_frames, misplaced
from outofsight.training.task import (
    SampleVideo,
    Task,
    mean_over_processes,
    open_clips,
    rank_slice,
    to_device,
    to_frames,
)
from outofsight.training.tasks import PixelTask
from outofsight.training.vae_training import decibels, pixel_weights
from outofsight.types import WAN_CLOCK, Clip
from outofsight.world_model import WorldModelBase

VALIDATED_FROM = 20
"""Target frame from which a validation clip is decoded, if it is that long: by then much has gone out of sight."""


def pixel_task(config: TrainConfig, data: Path) -> Task:
    task = config.task_of(PixelTask)
    if config.batch.gradient_checkpointing:
        raise InputError("this task has no gradient checkpointing; set batch.gradient_checkpointing=false")
    parts = pixel_parts(task, config.seed)
    objective = _objective(parts, task)
    train, validation, broken = open_clips(config, data)
    return Task(
        objective=objective,
        trainable=choose_trainable(objective, ("masks.*", "skip.*")),
        batches=PixelBatches(ClipStore(train.entries, task.clips_in_memory), task, parts, config.seed),
        leaves_unused=task.mask_weight == 0 or task.skip_weight == 0,
        look=None if validation is None else PixelValidation(config, validation, parts),
        export=lambda weights, folder, _device: export_pixels(config, weights, folder),
        broken=broken,
    )


def pixel_parts(task: PixelTask, seed: int) -> WorldModelBase:
    """Load the world model, and give it what it lacks: rendered memory, and a skip.

    Raises:
        InputError: no model is named.
        CheckpointError: its autoencoder can have no skip.
    """
    if task.initial is None:
        raise InputError("name the world model: --set task.initial=FOLDER")
    parts = load_world_to_train(task.initial)
    if parts.transformer.rendered_memory is None:
        parts.transformer = with_memory(parts.transformer, None, {"rendering": {}}, seed)
    if not isinstance(parts.vae, PatchVideoAutoencoder):
        raise CheckpointError(
            f"{task.initial}: its autoencoder is Wan's, which can have no skip; give a model with an autoencoder of "
            "patches, as the mini's is"
        )
    if parts.vae.skip is None:
        with first_weights(seed, "skip"):
            parts.vae.skip = DecoderSkip(task.skip_width)
        parts.vae.skip.strength.data.fill_(1.0)
        parts.vae.register_to_config(skip_width=task.skip_width)
    return parts


def _objective(parts: WorldModelBase, task: PixelTask) -> "PixelObjective":
    masks = parts.transformer.rendered_memory.masks
    if masks is None:
        raise InputError(f"{task.initial}: its rendering.mask_width is 0, so it has no mask reader to train")
    return PixelObjective(masks, parts.vae.skip, task)


class PixelBatches(ClipBatches):
    """Context frames with what other views say of them, and decoded target windows with what memory renders there."""

    def __init__(self, store: ClipStore, task: PixelTask, parts: WorldModelBase, seed: int) -> None:
        super().__init__(store, seed)
        self.task, self.vae = task, parts.vae

    def make(self, step: int, positions: Sequence[int]) -> Batch:
        return self.stacked(list(map(self._sample, positions)), positions, "train on clips of one size")

    @torch.no_grad()
    def _sample(self, position: int) -> Batch:
        generator = generator_for(self.seed, "pixels", position)
        clip = self.store.clip(self.index(position))
        if generator.random() < self.task.flip_share:
            clip = mirrored(clip)
        sample: Batch = {}
        if self.task.skip_weight > 0:
            start = int(generator.integers(last_start(clip, self.task.window) // 4 + 1)) * 4
            sample |= skip_sample(
                self.vae, clip, slice(start, start + self.task.window), self.task, generator
            )
        if self.task.mask_weight > 0:
            clip = relit(clip, self.task.most_light, generator)
            start = int(generator.integers(clip.num_target_frames + 1))
            if generator.random() < self.task.coded_share:
                clip = coded(self.vae, clip, start)
            chosen = generator.permutation(len(range(0, clip.num_context_frames, WAN_CLOCK.stride)))[
                : self.task.frames
            ]
            sample |= mask_sample(clip, chosen, start)
        return sample


def last_start(clip: Clip, window: int) -> int:
    """Return the last multiple of 4 at which a window of the target may begin. Raises ``DatasetError`` if none may."""
    if clip.num_target_frames < window:
        raise DatasetError(
            f"clip {clip.name!r} has {clip.num_target_frames} target frames, a window needs {window}; set task.window "
            "to fit"
        )
    return (clip.num_target_frames - window) // 4 * 4


def mask_sample(clip: Clip, chosen: np.ndarray, start: int = 0) -> Batch:
    """Give the evidence of some frames (by latent frame) of the context, or of as long a part from ``start`` on, and
    who truly is a subject in them."""
    seen = context_frames(clip, start)
    given = evidence(
        all_views(seen), seen.frames[:, chosen], seen.poses[:, chosen], seen.intrinsics, seen.times[:, chosen]
    )
    return {"evidence": given[0], "mask": torch.from_numpy(subject_mask(clip)[seen.numbers[chosen]]).float()}


def skip_sample(
    vae: nn.Module, clip: Clip, window: slice, task: PixelTask, generator: np.random.Generator
) -> Batch:
    """Give a window of the target: truth, the same decoded from its latents, and what memory renders there.

    A model's latents show a subject where memory has it, not where it truly is. So the truth of an agreed window has
    its subjects where the render has them: there the skip learns to let them through. In the others they are astray.
    """
    agreed = generator.random() < task.agreed_share
    errors = task.errors if agreed else replace(task.errors, astray_share=1 - task.errors.missing_share)
    memory = clip_memory(clip)
    placed = misplaced(memory.placed, errors, generator)
    placed = placed._replace(**{name: getattr(placed, name)[:, window] for name in placed._fields})
    drawn = render(
        memory.views, memory.cameras[:, window], memory.intrinsics, memory.size, memory.cutouts, placed
    )
    given = given_to_skip(drawn)[0]
    frames = slice(clip.num_context_frames + window.start, clip.num_context_frames + window.stop)
    truth = torch.from_numpy(clip.video[frames].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    subjects = torch.from_numpy(subject_mask(clip)[frames].copy())
    if agreed:
        shown = given[:, 4:]
        truth = (truth + shown * (given[:, :3] - truth)).clamp(-1, 1)
        subjects = subjects | (shown[:, 0] > 0.5)
    latents = encode_video(vae, truth[None])
    noise = torch.from_numpy(generator.standard_normal(latents.shape)).to(latents)
    latents = latents + task.latent_noise * generator.random() * noise
    return {"truth": truth, "decoded": decode_latents(vae, latents)[0], "given": given, "subjects": subjects}


def relit(clip: Clip, most: float, generator: np.random.Generator) -> Clip:
    """Scale and shift each colour of a whole clip by up to ``most`` (of its range): other paints, another light."""
    scale, shift = 1 + most * generator.uniform(-1, 1, 3), most * generator.uniform(-1, 1, 3)
    levels = np.arange(256)[:, None] / 255
    table = np.rint(((levels - 0.5) * scale + 0.5 + shift).clip(0, 1) * 255).astype(np.uint8)
    return replace(clip, video=table[clip.video, np.arange(3)])


def coded(vae: nn.Module, clip: Clip, start: int = 0) -> Clip:
    """Return a clip whose context, or as long a part from ``start`` on, is as the autoencoder rebuilds it."""
    part = slice(start, start + clip.num_context_frames)
    pictures = torch.from_numpy(clip.video[part].copy()).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    video = clip.video.copy()
    video[part] = to_frames(decode_latents(vae, encode_video(vae, pictures))[0].transpose(0, 1))
    return replace(clip, video=video)


class PixelObjective(nn.Module):
    """Give every sample's loss: of the masks (cross-entropy and 1 − IoU), and of the picture behind the skip."""

    def __init__(self, masks: MaskReader, skip: DecoderSkip, task: PixelTask) -> None:
        super().__init__()
        self.masks, self.skip, self.task = masks, skip, task

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses, result = {}, {}
        if "evidence" in batch:
            size = batch["evidence"].shape[:2]
            logits = self.masks(batch["evidence"].flatten(0, 1)).unflatten(0, size)
            losses["mask"] = reader_loss(logits, batch["mask"])
            result["shown"] = logits > 0
        if "given" in batch:
            mixed = self.skip(batch["decoded"].flatten(0, 1), batch["given"].flatten(0, 1))
            mixed = mixed.unflatten(0, batch["decoded"].shape[:2])
            difference = mixed - batch["truth"]
            weight = pixel_weights(batch["subjects"], self.task.subject_weight).movedim(1, 2)
            losses["skip"] = (weight * (difference.abs() + difference**2)).flatten(1).mean(dim=1)
            result["mixed"] = mixed.clamp(-1, 1)
        weights = {"mask": self.task.mask_weight, "skip": self.task.skip_weight}
        parts = torch.stack([weights[name] * loss for name, loss in losses.items()])
        figures = {f"loss/{name}": loss.detach() for name, loss in losses.items()}
        return figures | {"loss": parts.sum(dim=0)} | ({} if self.training else result)


def reader_loss(logits: Float[Tensor, "b f h w"], mask: Float[Tensor, "b f h w"]) -> Float[Tensor, " b"]:
    """Return cross-entropy plus 1 − soft IoU of a sample's frames together."""
    entropy = binary_cross_entropy_with_logits(logits, mask, reduction="none").flatten(1).mean(dim=1)
    shares = logits.sigmoid()
    both = (shares * mask).flatten(1).sum(dim=1)
    either = (shares + mask - shares * mask).flatten(1).sum(dim=1)
    return 4 * entropy + 1 - (both + 1) / (either + 1)


class PixelValidation:
    """Read masks in the first validation clips' contexts, and decode a window of their targets."""

    def __init__(self, config: TrainConfig, clips: Dataset, parts: WorldModelBase) -> None:
        self.task, self.clips, self.vae = config.task_of(PixelTask), clips, parts.vae
        self.count = min(config.validation.num_samples, len(clips))

    def measure(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Return mean IoU of masks over clips, and PSNR in dB of decoded windows: pictures and subjects, with the skip,
        and ``plain`` without."""
        names = ["mask_iou"] if self.task.mask_weight > 0 else []
        if self.task.skip_weight > 0:
            names += ["psnr", "psnr_subjects", "plain_psnr", "plain_psnr_subjects"]
        values: dict[str, list[float]] = {name: [] for name in names}
        for index, counts in rank_slice(self.count, accelerator):
            clip = self.clips[index]
            generator = generator_for("validation", clip.name)
            batch: Batch = {}
            with torch.no_grad():
                if self.task.skip_weight > 0:
                    start = min(VALIDATED_FROM, last_start(clip, self.task.window))
                    window = slice(start, start + self.task.window)
                    batch |= skip_sample(self.vae, clip, window, self.task, generator)
                if self.task.mask_weight > 0:
                    batch |= mask_sample(clip, np.arange(context_frames(clip).numbers.size))
            batch = to_device({name: value[None] for name, value in batch.items()}, accelerator.device)
            result = model(batch)
            if counts and "shown" in result:
                values["mask_iou"].append(_iou(result["shown"], batch["mask"] > 0))
            if counts and "mixed" in result:
                for name, video in (("", result["mixed"]), ("plain_", batch["decoded"])):
                    squared = ((video - batch["truth"]) ** 2).mean(dim=2)
                    values[f"{name}psnr"].append(decibels(squared.mean()))
                    values[f"{name}psnr_subjects"].append(decibels(squared[batch["subjects"] > 0].mean()))
        return {name: mean for name, (mean, _) in mean_over_processes(values, accelerator).items()}

    def show(self, model: nn.Module, accelerator: Accelerator) -> Iterable[SampleVideo]:
        """Give nothing: what is learned here is measured alone."""
        return ()


def _iou(predicted: Tensor, true: Tensor) -> float:
    either = (predicted | true).sum()
    return float((predicted & true).sum() / either) if either else float("nan")


def export_pixels(config: TrainConfig, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the world model's folder with what was learned."""
    task = config.task_of(PixelTask)
    parts = pixel_parts(task, config.seed)
    load_weights(_objective(parts, task), weights)
    save_world(parts, folder, getattr(torch, config.state.export_dtype), read_use(task.initial or ""))
