"""Training a video VAE to rebuild its input, subjects above all, from latents close to a standard normal: data,
validation in decibels overall and on subjects, export with latent statistics.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder, to_blocks
from outofsight.codec.video_vae import VideoAutoencoder, decode_unclamped, spatial_factor
from outofsight.data.dataset import Dataset
from outofsight.errors import DatasetError, InputError
from outofsight.files import replaced_folder
from outofsight.training.batches import Batch, ClipStore, VaeBatches, subject_mask
from outofsight.training.config import TrainConfig
from outofsight.training.models import cast_for_export, choose_trainable, load_weights, make_vae
from outofsight.training.task import (
    SampleVideo,
    Task,
    mean_over_processes,
    open_clips,
    rank_slice,
    side_by_side,
    to_device,
    to_frames,
    to_signal,
)
from outofsight.training.tasks import VaeTask
from outofsight.types import WAN_CLOCK, Clip

MAX_LOG_VARIANCE = 20.0


class VaeObjective(nn.Module):
    """Give every sample's loss. ``forward`` takes what ``VaeBatches`` makes.

    When it is not training, it rebuilds from the latents' mean, and measures: ``squared_error`` of pixels in [−1, 1],
    over the picture and over subjects (NaN where there is none). ``with_video``: give the rebuilt ``video`` too.
    """

    def __init__(self, vae: VideoAutoencoder, task: VaeTask) -> None:
        super().__init__()
        self.vae, self.task = vae, task

    def forward(self, batch: dict[str, Tensor], *, with_video: bool = False) -> dict[str, Tensor]:
        video = to_signal(batch["video"])
        posterior = self.vae.encode(video).latent_dist
        mean = posterior.mean.float()
        log_variance = posterior.logvar.float().clamp(-MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)
        latents = mean + (0.5 * log_variance).exp() * batch["noise"] if self.training else mean
        rebuilt = decode_unclamped(self.vae, latents).float()
        weight = pixel_weights(batch["subjects"], self.task.subject_weight)
        rebuild = rebuild_loss(rebuilt, video, weight, self.task)
        kl = kl_per_number(mean, log_variance)
        result = {"loss": rebuild + self.task.kl_weight * kl, "rebuild": rebuild.detach(), "kl": kl.detach()}
        if not self.training:
            result |= squared_errors(rebuilt.clamp(-1, 1), video, batch["subjects"] > 0)
        if with_video:
            result["video"] = rebuilt.clamp(-1, 1)
        return result


def squared_errors(rebuilt: Tensor, video: Tensor, subjects: Tensor) -> dict[str, Float[Tensor, " b"]]:
    """Return the mean squared error of each sample, and that over its subjects' pixels (NaN without subjects)."""
    error = ((rebuilt - video) ** 2).mean(dim=1)
    on_subjects = (error * subjects).flatten(1).sum(dim=1) / subjects.flatten(1).sum(dim=1)
    return {"squared_error": error.flatten(1).mean(dim=1), "subject_squared_error": on_subjects}


def pixel_weights(subjects: Tensor, subject_weight: float) -> Float[Tensor, "b 1 t h w"]:
    """Weight subjects' pixels 1 + ``subject_weight`` times others', with a mean of 1 over every sample."""
    weight = 1 + subject_weight * (subjects > 0).float()
    return (weight / weight.mean(dim=(1, 2, 3), keepdim=True)).unsqueeze(1)


def rebuild_loss(rebuilt: Tensor, video: Tensor, weight: Tensor, task: VaeTask) -> Float[Tensor, " b"]:
    """Return l1_weight · |difference| + mse_weight · difference², weighted, its mean over each sample."""
    difference = rebuilt - video
    loss = task.l1_weight * difference.abs() + task.mse_weight * difference**2
    return (weight * loss).flatten(1).mean(dim=1)


def kl_per_number(mean: Tensor, log_variance: Tensor) -> Float[Tensor, " b"]:
    """Return the divergence of N(mean, variance) from the standard normal, its mean over a sample's latents."""
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    return divergence.flatten(1).mean(dim=1)


def vae_task(config: TrainConfig, data: Path) -> Task:
    task = config.task_of(VaeTask)
    if config.batch.gradient_checkpointing:
        raise InputError(
            "the VAE has no gradient checkpointing; set batch.gradient_checkpointing=false, batch.size lower"
        )
    vae = make_vae(task, config.seed)
    if (factor := spatial_factor(vae)) != 8:
        raise InputError(f"expected a VAE that makes 8×8 pixels one, got {factor}×{factor}")
    train, validation, broken = open_clips(config, data)
    if isinstance(vae, PatchVideoAutoencoder) and task.initial is None:
        fit_principal(vae, train, task)
    objective = VaeObjective(vae, task)
    return Task(
        objective=objective,
        trainable=choose_trainable(objective, ("*",)),
        batches=VaeBatches(
            ClipStore(train.entries, task.clips_in_memory), task, vae.config["z_dim"], config.seed
        ),
        leaves_unused=task.single_frame_share > 0,
        look=None if validation is None else VaeValidation(config, validation),
        export=lambda weights, folder, device: export_vae(config, train, weights, folder, device),
        broken=broken,
    )


class VaeValidation:
    """Rebuild the beginnings of the first validation clips, whole pictures."""

    def __init__(self, config: TrainConfig, clips: Dataset) -> None:
        self.settings, self.clips = config.validation, clips
        self.num_frames = config.task_of(VaeTask).num_frames

    def measure(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Return PSNR in dB on pixels 0 to 1, the mean over clips: of clips, of their subjects, of single frames."""
        values: dict[str, list[float]] = {"psnr": [], "psnr_subjects": [], "psnr_single_frame": [], "kl": []}
        for index, counts in rank_slice(min(self.settings.num_samples, len(self.clips)), accelerator):
            clip = self.clips[index]
            result = model(self._batch(clip, self.num_frames, accelerator))
            still = model(self._batch(clip, 1, accelerator))
            if counts:
                values["psnr"].append(decibels(result["squared_error"]))
                values["psnr_subjects"].append(decibels(result["subject_squared_error"]))
                values["psnr_single_frame"].append(decibels(still["squared_error"]))
                values["kl"].append(float(result["kl"]))
        means = mean_over_processes(values, accelerator)
        return {name: mean for name, (mean, _) in means.items()} | {
            "num_clips": means["psnr"][1],
            "num_clips_with_subjects": means["psnr_subjects"][1],
        }

    def show(self, model: nn.Module, accelerator: Accelerator) -> Iterator[SampleVideo]:
        """Give truth and rebuilt, side by side."""
        for clip in self.clips[: self.settings.num_videos]:
            batch = self._batch(clip, self.num_frames, accelerator)
            rebuilt = model(batch, with_video=True)["video"][0]
            truth = to_frames(to_signal(batch["video"])[0])
            yield SampleVideo(clip.name, side_by_side(truth, to_frames(rebuilt)), clip.fps)

    def _batch(self, clip: Clip, num_frames: int, accelerator: Accelerator) -> Batch:
        video, mask = clip.video[:num_frames], subject_mask(clip)[:num_frames]
        if len(video) < num_frames or video.shape[1] % 8 or video.shape[2] % 8:
            raise DatasetError(
                f"validation clip {clip.name!r}: expected ≥ {num_frames} frames of a size divisible by 8, got "
                f"{list(clip.video.shape[:3])}"
            )
        batch = {
            "video": torch.from_numpy(video)[None],
            "subjects": torch.from_numpy(mask)[None],
            "noise": torch.zeros(1, 1, 1, 1, 1),  # not used: validation rebuilds from the mean
        }
        return to_device(batch, accelerator.device)


def decibels(squared_error: Tensor) -> float:
    """Return the PSNR of a mean squared error of pixels in [−1, 1], whose range is 2; NaN stays NaN."""
    return float(10 * torch.log10(4 / squared_error.double().cpu()))


def export_vae(
    config: TrainConfig, train: Dataset, weights: Mapping[str, Tensor], folder: Path, device: torch.device
) -> None:
    """Write a VAE folder whose config holds the mean and deviation of its latents over training clips."""
    task = config.task_of(VaeTask)
    vae = make_vae(task, config.seed)
    load_weights(VaeObjective(vae, task), weights)
    dtype = getattr(torch, config.state.export_dtype)
    cast_for_export(vae, dtype)
    # The rounded weights, in full precision: whose digest the cache will hold.
    vae.to(device, torch.float32).eval()
    mean, deviation = measured_statistics(vae, train, task)
    vae.register_to_config(latents_mean=mean, latents_std=divisors(deviation, task.whitening))
    with replaced_folder(folder) as temporary:
        cast_for_export(vae.to("cpu"), dtype)
        vae.save_pretrained(temporary)


@torch.no_grad()
def measured_statistics(
    vae: VideoAutoencoder, clips: Dataset, task: VaeTask
) -> tuple[list[float], list[float]]:
    """Measure mean and deviation of each latent channel, before normalising, over both halves of the first clips.

    Whole halves, as they are encoded for training: later latent frames vary more than the first ones.

    Raises:
        DatasetError: a channel that never changes, which no deviation can normalise.
    """
    total = torch.zeros(vae.config["z_dim"], dtype=torch.float64)
    squares, count = torch.zeros_like(total), 0
    for half in _halves(clips, task.statistics_clips):
        video = torch.from_numpy(half.copy())[None].to(vae.device)
        latents = vae.encode(to_signal(video)).latent_dist.mode()[0].flatten(1).double().cpu()
        total += latents.sum(dim=1)
        squares += (latents**2).sum(dim=1)
        count += latents.shape[1]
    mean = total / count
    deviation = (squares / count - mean**2).clamp(min=0).sqrt()
    if float(deviation.min()) < 1e-6:
        channel = int(deviation.argmin())
        raise DatasetError(
            f"latent channel {channel} is the same in all clips; train longer, or on other clips"
        )
    return mean.tolist(), deviation.tolist()


def divisors(deviation: Sequence[float], whitening: float) -> list[float]:
    """Return what to divide each channel by: deviation^whitening, scaled so that the mean variance becomes 1."""
    evened = [value ** (1 - whitening) for value in deviation]
    scale = (sum(value**2 for value in evened) / len(evened)) ** 0.5
    return [scale * value**whitening for value in deviation]


def fit_principal(vae: PatchVideoAutoencoder, clips: Dataset, task: VaeTask) -> None:
    """Begin a patch autoencoder at the principal components of the first clips, subjects weighted as in the loss."""
    assert task.patch is not None
    blocks, weights = [], []
    for clip in clips[: task.patch.fit_clips]:
        end = WAN_CLOCK.whole(clip.num_context_frames)  # the context half, as far as it makes blocks
        video = to_signal(torch.from_numpy(clip.video[:end].copy())[None])
        mask = torch.from_numpy(subject_mask(clip)[:end].copy())[None, None].float().expand(-1, 3, -1, -1, -1)
        blocks.append(to_blocks(video)[:, 1:].flatten(0, 3))
        weights.append(1 + task.subject_weight * to_blocks(mask)[:, 1:].flatten(0, 3).mean(dim=-1))
    vae.fit_principal(torch.cat(blocks), torch.cat(weights))


def _halves(clips: Dataset, count: int) -> Iterator[NDArray[np.uint8]]:
    """Give both halves of the first clips, without frames beyond the last that makes 4·k + 1."""
    for clip in clips[:count]:
        split = clip.num_context_frames
        for half in (clip.video[:split], clip.video[split:]):
            if len(half):
                yield half[: WAN_CLOCK.whole(len(half))]
