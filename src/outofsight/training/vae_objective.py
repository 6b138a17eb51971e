"""What a video VAE learns: to rebuild its input, subjects above all, from latents close to a standard normal."""

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from outofsight.codec.video_vae import VideoAutoencoder
from outofsight.training.config import VaeTask

MAX_LOG_VARIANCE = 20.0


class VaeObjective(nn.Module):
    """Give every sample's loss. ``forward`` takes what ``VaeBatches`` makes.

    When it is not training, it rebuilds from the latents' mean, and measures: ``squared_error`` of pixels in [−1, 1],
    over the picture and over subjects (NaN where there is none). ``with_video``: give the rebuilt ``video`` too.
    """

    def __init__(self, vae: VideoAutoencoder, task: VaeTask) -> None:
        super().__init__()
        self.vae = vae
        self.task = task

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


def to_signal(video: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
    """Turn pixels 0..255 into [−1, 1], in the VAE's order of axes."""
    return video.permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def decode_unclamped(vae: VideoAutoencoder, latents: Tensor) -> Tensor:
    """Decode without the clamp that the borrowed decode ends with, beyond which no gradient would flow."""
    chunks: list[Tensor] = []  # what the decoder gives for each latent frame
    handle = vae.decoder.register_forward_hook(lambda _decoder, _inputs, chunk: chunks.append(chunk))
    try:
        vae.decode(latents, return_dict=False)
    finally:
        handle.remove()
    return unpatchify(torch.cat(chunks, dim=2), vae.config["patch_size"] or 1)


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
