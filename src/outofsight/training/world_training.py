"""Training a world model: data, validation with right and wrong cameras, sample videos, export."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from outofsight.codec.checkpoint_files import network_digest, weights_digest
from outofsight.codec.text import max_text_tokens
from outofsight.codec.video_vae import VideoAutoencoder, decode_latents
from outofsight.data.latent_cache import LatentCache, LatentSample, open_latent_cache
from outofsight.errors import InputError
from outofsight.flow.matching import euler_step, sampling_sigmas, timesteps
from outofsight.model_folders import ModelUse, read_use
from outofsight.training.bank_figures import bank_measures
from outofsight.training.batches import (
    Batch,
    Captions,
    MemoryNeeds,
    WorldBatches,
    plain_batch,
    rendered_draw,
    subject_masks,
    target_subject_share,
)
from outofsight.training.config import TrainConfig
from outofsight.training.models import added_parts, choose_trainable, load_weights, make_world, save_world
from outofsight.training.randomness import NoiseLevels, normal
from outofsight.training.task import (
    SampleVideo,
    Task,
    mean_over_processes,
    rank_slice,
    side_by_side,
    to_device,
    to_frames,
    wants_validation,
    whole_cache,
)
from outofsight.training.tasks import WorldTask
from outofsight.training.world_objective import UnrolledObjective, WorldObjective
from outofsight.world_model import WorldModelBase


def world_task(config: TrainConfig, data: Path) -> Task:
    """Put a world model's training together. Raises ``DatasetError`` if another VAE made the cache."""
    task = config.task_of(WorldTask)
    parts = make_world(task, config.seed)
    digest = network_digest(parts.vae)
    train, broken = whole_cache(open_cache_part(data, "train", digest), skip_broken=config.batch.skip_broken)
    validation = open_cache_part(data, "validation", digest) if wants_validation(config) else None
    objective = _objective(parts, train, task)
    trainable = choose_trainable(objective, (*task.trainable, *added_parts(parts.transformer)), task.frozen)
    if config.batch.gradient_checkpointing:
        parts.transformer.enable_gradient_checkpointing()
    rounds = bool(parts.transformer.config["round_timestep_to_bf16"])
    levels = NoiseLevels(task, parts.shift, round_to_bf16=rounds)
    captions = Captions(train, parts.tokenizer)
    frozen = {name: value for name, value in objective.named_parameters() if not value.requires_grad}
    return Task(
        objective=objective,
        trainable=trainable,
        batches=WorldBatches(train, captions, levels, task, config.seed, MemoryNeeds.of(parts.transformer)),
        leaves_unused=not parts.transformer.memory_settings.retrieves or parts.transformer.has_banks,
        look=None if validation is None else WorldValidation(config, validation, parts, levels),
        export=lambda weights, folder, _device: export_world(config, train, weights, folder),
        sources={"frozen": weights_digest(frozen) if frozen else None},
        broken=broken,
    )


def _objective(parts: WorldModelBase, cache: LatentCache, task: WorldTask) -> WorldObjective:
    """Leave the text encoder out where the cache holds its states, and check that they are its."""
    length = max_text_tokens(parts.tokenizer)
    text_encoder = parts.text_encoder if cache.identity.text == "captions" else None
    if text_encoder is None and cache.identity.text_digest != network_digest(parts.text_encoder):
        raise InputError(
            f"{cache.folder}: its text states are another encoder's than this model's; encode with this model, or "
            "with --text captions"
        )
    if task.unrolls:
        return UnrolledObjective(parts.transformer, text_encoder, length, task=task)
    return WorldObjective(parts.transformer, text_encoder, length, task.subject_weight)


def open_cache_part(data: Path, part: str, vae_digest: str) -> LatentCache:
    """Open a part of an encoded data set; a folder that is itself a cache is all for training."""
    whole = part == "train" and not (data / part).is_dir()
    cache = open_latent_cache(data if whole else data / part)
    cache.require_vae(vae_digest)
    return cache


class WorldValidation:
    """Look at the first validation samples, with noise that is the same every time."""

    def __init__(
        self, config: TrainConfig, cache: LatentCache, parts: WorldModelBase, levels: NoiseLevels
    ) -> None:
        self.config, self.cache, self.vae, self.levels = config, cache, parts.vae, levels
        self.captions = Captions(cache, parts.tokenizer)
        self.needs = MemoryNeeds.of(parts.transformer)
        self.sigmas, self.shift = config.validation.sigmas, parts.shift
        self.count = min(config.validation.num_samples, len(cache))
        if self.count < 2:
            raise InputError(
                f"{cache.folder}: expected ≥ 2 validation samples, so that one can be shown another's cameras, got "
                f"{self.count}"
            )

    def measure(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Return squared errors of the velocity at each noise level, with a sample's own cameras and the next one's.

        ``loss@0.5`` and ``wrong_camera_loss@0.5``, and their means over the levels; ``subject_loss`` is the loss on
        subjects alone, where the cache knows them; ``camera_gain`` is wrong / right − 1, near 0 while the model ignores
        cameras. For a task with ``memory_losses`` also what ``bank_measures`` gives; that alone where the flow is not
        learned.
        """
        task = self.config.task_of(WorldTask)
        banks: dict[str, float] = {}
        if task.memory_losses.weights():
            samples = [self.cache[index] for index in range(self.count)]
            banks = bank_measures(model, accelerator, samples, self._batch)
        return banks | self._flow_measures(model, accelerator) if task.flow_weight else banks

    def _flow_measures(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        kinds = ("loss", "subject_loss", "wrong_camera_loss")
        values: dict[str, list[float]] = {f"{kind}@{sigma:g}": [] for kind in kinds for sigma in self.sigmas}
        for index, counts in rank_slice(self.count, accelerator):
            sample, other = self.cache[index], self.cache[(index + 1) % self.count]
            right = self._batch([sample])
            wrong = right | self._cameras_of(sample, other)
            for kind, batch in (("loss", right), ("wrong_camera_loss", wrong)):
                result = model(to_device(self._at_all_levels(batch), accelerator.device))
                figures = {kind: result["squared_error"]}
                if kind == "loss" and "subject_squared_error" in result:
                    figures["subject_loss"] = result["subject_squared_error"]
                for name, errors in figures.items():
                    for sigma, error in zip(self.sigmas, errors.tolist() if counts else (), strict=counts):
                        values[f"{name}@{sigma:g}"].append(error)
        means, measured = {}, set()
        for name, (mean, number) in mean_over_processes(values, accelerator).items():
            kind = name.partition("@")[0]
            if number or kind != "subject_loss":  # of which a data set may tell nothing
                means[name] = mean
                measured.add(kind)
        for kind in sorted(measured):
            means[kind] = sum(means[f"{kind}@{sigma:g}"] for sigma in self.sigmas) / len(self.sigmas)
        gain = means["wrong_camera_loss"] / means["loss"] - 1
        return means | {"camera_gain": gain, "num_samples": self.count}

    def show(self, model: nn.Module, accelerator: Accelerator) -> Iterator[SampleVideo]:
        """Give, for each sample: context, then truth (as the VAE rebuilds it) and generated, side by side."""
        for index in range(min(self.config.validation.num_videos, len(self.cache))):
            sample = self.cache[index]
            batch = to_device(self._batch([sample]), accelerator.device)
            generated = self._continue(model, batch)
            vae = self.vae.to(accelerator.device)
            halves = [batch["context_latents"], batch["target_latents"], generated]
            context, truth, shown = (_decoded(vae, latents) for latents in halves)
            vae.to("cpu")
            left, right = (torch.cat((context, half), dim=1) for half in (truth, shown))
            fps = float(sample.facts.get("fps", 15.0))
            yield SampleVideo(sample.name, side_by_side(to_frames(left), to_frames(right)), fps)

    def _continue(self, model: nn.Module, batch: Batch) -> Tensor:
        """Integrate from the sample's noise to target latents by Euler steps, without guidance."""
        latents = batch["noise"]
        sigmas = sampling_sigmas(self.config.validation.video_steps, self.shift)
        for sigma, following in pairwise(sigmas):
            levels = torch.stack((timesteps(sigma), sigma, torch.tensor(1.0)))[None].to(latents.device)
            velocity = model(batch | {"noisy": latents, "levels": levels}, velocity_only=True)["velocity"]
            latents = euler_step(latents, velocity.float(), sigma, following)
        return latents

    def _batch(self, samples: Sequence[LatentSample]) -> Batch:
        batch = plain_batch(samples)
        shape = tuple(batch["target_latents"].shape[1:])
        batch["noise"] = torch.stack([normal(shape, self.config.seed, "validation", s.name) for s in samples])
        if all(sample.subject_share is not None for sample in samples):
            batch["subject_share"] = torch.stack([target_subject_share(sample) for sample in samples])
        if self.needs.masks:
            batch["subject_masks"] = subject_masks(samples)
        if self.needs.rendered != "none":
            shown = [rendered_draw(sample, self.needs.rendered, 0) for sample in samples]
            batch["rendered"] = torch.stack(shown)
        return batch | self.captions.batch(samples, [False] * len(samples))

    def _at_all_levels(self, batch: Batch) -> Batch:
        """Repeat a sample once for each noise level."""
        levels = [self.levels.at(timesteps(torch.tensor(sigma))) for sigma in self.sigmas]
        repeated = {name: value.repeat_interleave(len(levels), dim=0) for name, value in batch.items()}
        return repeated | {"levels": torch.stack(levels)}

    def _cameras_of(self, sample: LatentSample, other: LatentSample) -> Batch:
        together = plain_batch([sample, other])
        return {name: together[name][1:] for name in ("context_cameras", "target_cameras")}


def _decoded(vae: VideoAutoencoder, latents: Tensor) -> Tensor:
    """Decode one sample's latents to [3, t, height, width]."""
    return decode_latents(vae, latents)[0].transpose(0, 1)


def export_world(
    config: TrainConfig, cache: LatentCache, weights: Mapping[str, Tensor], folder: Path
) -> None:
    """Write a world model folder; low-rank parts are merged into the weights that they add to."""
    task = config.task_of(WorldTask)
    parts = make_world(task, config.seed)
    load_weights(_objective(parts, cache, task), weights)
    if task.lora.rank:
        parts.transformer.fuse_lora()
        parts.transformer.unload_lora()
    save_world(parts, folder, getattr(torch, config.state.export_dtype), _use_of(cache, task))


def _use_of(cache: LatentCache, task: WorldTask) -> ModelUse | None:
    """Say what the model is used with: frames, size and rate of what it learned from, where the cache tells them."""
    before = ModelUse() if task.initial is None else read_use(task.initial)
    facts = cache[0].facts
    if not {"num_context_frames", "num_target_frames", "size_px", "fps"} <= facts.keys():
        return None
    return replace(
        before, num_context_frames=facts["num_context_frames"], num_target_frames=facts["num_target_frames"],
        size=tuple(facts["size_px"]), fps=facts["fps"],
    )  # fmt: skip
