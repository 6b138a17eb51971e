"""What a world model learns: the flow from noise to the target half, given context, cameras and caption."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import UMT5EncoderModel

from outofsight.backbone.attention import BankKeys
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.text import PUBLISHED_MAX_LENGTH
from outofsight.flow.matching import add_noise, clean_estimate, frame_timesteps, target_loss, velocity_target


class Given(NamedTuple):
    """What is made once for several chunks: the caption's states, and what the two banks gave for this one."""

    text: Float[Tensor, "b l text_dim"] | None = None
    bank_keys: BankKeys | None = None


class Flow(NamedTuple):
    """Every sample's ``loss`` and ``squared_error`` [b], and the target that the predicted velocity points at.

    ``subject_error``: the squared error on subjects, each latent pixel by the share of it that they cover; NaN without
    subjects, ``None`` where the batch does not tell where they are.
    """

    loss: Float[Tensor, " b"]
    squared_error: Float[Tensor, " b"]
    estimate: Float[Tensor, "b channels t h w"]
    subject_error: Float[Tensor, " b"] | None = None


class WorldObjective(nn.Module):
    """Give every sample's loss. ``forward`` takes what ``WorldBatches`` makes.

    ``text_encoder``: ``None`` where the batches hold the captions' states. ``text_tokens``: how many states the
    transformer sees. ``subject_weight``: how much more an error on subjects counts where a batch tells where they
    are (``subject_share``); ``squared_error`` is without it. While it is not training, ``subject_squared_error`` is
    given beside that.
    """

    def __init__(
        self,
        transformer: HydraTransformer3DModel,
        text_encoder: UMT5EncoderModel | None,
        text_tokens: int = PUBLISHED_MAX_LENGTH,
        subject_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.subject_weight = subject_weight
        self.text_tokens = text_tokens
        self.transformer = transformer
        self.text_encoder = text_encoder

    def train(self, mode: bool = True) -> "WorldObjective":
        """Set the mode; a text encoder that does not learn stays as it is used, without dropout."""
        super().train(mode)
        if self.text_encoder is not None and not any(p.requires_grad for p in self.text_encoder.parameters()):
            self.text_encoder.eval()
        return self

    def forward(self, batch: dict[str, Tensor], *, velocity_only: bool = False) -> dict[str, Tensor]:
        """``velocity_only``: give the velocity of ``batch["noisy"]``, target latents at the levels of the batch."""
        if velocity_only:
            predicted = self._predicted(batch, batch["noisy"], batch["levels"][:, 0], Given())
            return {"velocity": predicted[:, :, batch["context_latents"].shape[2] :]}
        flow = self.flow(batch)
        result = {"loss": flow.loss, "squared_error": flow.squared_error}
        if flow.subject_error is not None and not self.training:
            result["subject_squared_error"] = flow.subject_error
        return result

    def flow(self, batch: dict[str, Tensor], given: Given = Given()) -> Flow:  # noqa: B008 - a constant
        """Noise the target half and see how well its velocity is predicted."""
        if "frame_levels" in batch:
            return self._with_frame_noise(batch, given)
        context, target = batch["context_latents"], batch["target_latents"]
        timestep, sigma, weight = batch["levels"].unbind(dim=1)
        noisy = add_noise(target, batch["noise"], sigma)
        predicted = self._predicted(batch, noisy, timestep, given)
        velocity = torch.cat((context, velocity_target(target, batch["noise"])), dim=2)
        errors = [
            target_loss(predicted[[index]], velocity[[index]], 1.0, context.shape[2])
            for index in range(len(context))
        ]
        squared_error = torch.stack(errors)
        loss, on_subjects = squared_error, None
        told = predicted[:, :, context.shape[2] :].float()
        if "subject_share" in batch:
            difference = ((told - velocity[:, :, context.shape[2] :].float()) ** 2).mean(dim=1)
            loss = (difference * self._pixel_weights(batch)).flatten(1).mean(dim=1)
            on_subjects = _subject_error(difference.detach(), batch["subject_share"])
        estimate = clean_estimate(noisy, told.detach(), sigma)
        return Flow(loss * weight, squared_error.detach(), estimate, on_subjects)

    def _with_frame_noise(self, batch: dict[str, Tensor], given: Given) -> Flow:
        """Noise every frame by a level of its own, context frames too; the loss is on the target half as ever.

        Source: DFoT, arXiv 2502.06764, section 3; there all frames bear the loss.
        """
        context, target = batch["context_latents"], batch["target_latents"]
        timestep, sigma, weight = batch["frame_levels"].unbind(dim=2)  # [b, f] each
        clean = torch.cat((context, target), dim=2).movedim(2, 1)
        noise = torch.cat((batch["context_noise"], batch["noise"]), dim=2).movedim(2, 1)
        noisy = (
            add_noise(clean.flatten(0, 1), noise.flatten(0, 1), sigma.flatten()).view_as(clean).movedim(1, 2)
        )
        context, begins = noisy[:, :, : context.shape[2]], context.shape[2]
        predicted = self._predicted(
            batch | {"context_latents": context}, noisy[:, :, begins:], timestep, given
        )
        told = predicted[:, :, begins:].float()
        errors = ((told - velocity_target(target, batch["noise"]).float()) ** 2).mean(dim=1)  # [b, t, h, w]
        weights, on_subjects = weight[:, begins:, None, None], None
        if "subject_share" in batch:
            weights = weights * self._pixel_weights(batch)
            on_subjects = _subject_error(errors.detach(), batch["subject_share"])
        level = sigma[:, None, begins:, None, None]
        return Flow(
            (errors * weights).flatten(1).mean(dim=1),
            errors.detach().flatten(1).mean(dim=1),
            noisy[:, :, begins:] - told.detach() * level,
            on_subjects,
        )

    def _pixel_weights(self, batch: dict[str, Tensor]) -> Float[Tensor, "b t h w"]:
        weights = 1 + self.subject_weight * batch["subject_share"]
        return weights / weights.mean(dim=(1, 2, 3), keepdim=True)

    def _predicted(self, batch: dict[str, Tensor], noisy: Tensor, timestep: Tensor, given: Given) -> Tensor:
        """``timestep``: [b] of the target, or [b, f] of every frame."""
        sequence = torch.cat((batch["context_latents"], noisy), dim=2)
        cameras = batch["context_cameras"], batch["target_cameras"]
        if timestep.ndim == 1 and self.transformer.has_frame_noise:
            timestep = frame_timesteps(timestep, cameras[0].shape[1], cameras[1].shape[1])
        more: dict[str, Any] = {
            name: batch[name] for name in ("intrinsics", "subject_masks", "rendered") if name in batch
        }
        if given.bank_keys is not None:
            more["bank_keys"] = given.bank_keys
        text = self.text_states(batch) if given.text is None else given.text
        return self.transformer(sequence, timestep, text, *cameras, **more).sample

    def text_states(self, batch: dict[str, Tensor]) -> Float[Tensor, "b l text_dim"]:
        """Return the captions' states, zero beyond each caption's end, as long as the sampler's."""
        if self.text_encoder is None:
            return batch["text_states"]
        tokens, known = batch["tokens"], batch["token_mask"]
        states = self.text_encoder(input_ids=tokens, attention_mask=known).last_hidden_state
        return pad(states * known[..., None].to(states), (0, 0, 0, self.text_tokens - tokens.shape[1]))


def _subject_error(errors: Float[Tensor, "b t h w"], share: Float[Tensor, "b t h w"]) -> Float[Tensor, " b"]:
    """Return the mean error over subjects, NaN for a sample without any."""
    return (errors * share).flatten(1).sum(dim=1) / share.flatten(1).sum(dim=1)
