"""What a world model learns: the flow from noise to the target half, given context, cameras and caption; at once, or
unrolled in chunks, and then what its two banks learn beside the flow.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import UMT5EncoderModel

from outofsight.backbone.extra_keys import BankKeys
from outofsight.backbone.sequence import known_intrinsics
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.text import PUBLISHED_MAX_LENGTH
from outofsight.errors import InputError
from outofsight.flow.matching import add_noise, clean_estimate, frame_timesteps, target_loss, velocity_target
from outofsight.memory.banks.state import Banks, RetrievedMemory
from outofsight.memory.banks.two_banks import Observed, latent_times
from outofsight.training.bank_figures import bank_figures
from outofsight.training.bank_objective import Asked, Unrolled, bank_losses, observed_together
from outofsight.training.subject_truth import truth_of
from outofsight.training.tasks import WorldTask
from outofsight.training.unrolling import ChunkSpan, chunk_batch, chunk_spans, seen_later
from outofsight.types import LatentGrid


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
        self.subject_weight, self.text_tokens = subject_weight, text_tokens
        self.transformer, self.text_encoder = transformer, text_encoder

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
            target_loss(*sample, 1.0, context.shape[2])
            for sample in zip(predicted.split(1), velocity.split(1), strict=True)
        ]
        squared_error = torch.stack(errors)
        loss, on_subjects = squared_error, None
        of_target = predicted[:, :, context.shape[2] :].float()
        if "subject_share" in batch:
            difference = ((of_target - velocity[:, :, context.shape[2] :].float()) ** 2).mean(dim=1)
            loss = (difference * self._pixel_weights(batch)).flatten(1).mean(dim=1)
            on_subjects = _subject_error(difference.detach(), batch["subject_share"])
        estimate = clean_estimate(noisy, of_target.detach(), sigma)
        return Flow(loss * weight, squared_error.detach(), estimate, on_subjects)

    def _with_frame_noise(self, batch: dict[str, Tensor], given: Given) -> Flow:
        """Noise every frame by a level of its own, context frames too; the loss is on the target half as ever.

        Source: DFoT, arXiv 2502.06764, section 3; there all frames bear the loss.
        """
        context, target = batch["context_latents"], batch["target_latents"]
        timestep, sigma, weight = batch["frame_levels"].unbind(dim=2)  # [b, f] each
        clean = torch.cat((context, target), dim=2).movedim(2, 1)
        noise = torch.cat((batch["context_noise"], batch["noise"]), dim=2).movedim(2, 1)
        noisy = add_noise(clean.flatten(0, 1), noise.flatten(0, 1), sigma.flatten())
        noisy, begins = noisy.view_as(clean).movedim(1, 2), context.shape[2]
        seen = batch | {"context_latents": noisy[:, :, :begins]}
        of_target = self._predicted(seen, noisy[:, :, begins:], timestep, given)[:, :, begins:].float()
        velocity = velocity_target(target, batch["noise"]).float()
        errors = ((of_target - velocity) ** 2).mean(dim=1)  # [b, t, h, w]
        weights, on_subjects = weight[:, begins:, None, None], None
        if "subject_share" in batch:
            weights = weights * self._pixel_weights(batch)
            on_subjects = _subject_error(errors.detach(), batch["subject_share"])
        level = sigma[:, None, begins:, None, None]
        return Flow(
            (errors * weights).flatten(1).mean(dim=1),
            errors.detach().flatten(1).mean(dim=1),
            noisy[:, :, begins:] - of_target.detach() * level,
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
        more = {name: batch[name] for name in ("intrinsics", "subject_masks", "rendered") if name in batch}
        text = self.text_states(batch) if given.text is None else given.text
        return self.transformer(sequence, timestep, text, *cameras, bank_keys=given.bank_keys, **more).sample

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


class UnrolledObjective(WorldObjective):
    """Generate the target chunk after chunk and add up the losses of the flow and of the memory.

    Every chunk is noised by a level of its own. It sees as many latent frames as the context has (of them what its
    strategy lets in), and what the banks give of everything before it. ``forward`` takes what ``WorldBatches`` makes
    for a task with ``chunks`` or ``memory_losses``; a batch without chunks (validation) is as in ``WorldObjective``.
    The result has a column ``loss/NAME`` for the flow and for each loss that is on, before its weight.
    """

    def __init__(
        self,
        transformer: HydraTransformer3DModel,
        text_encoder: UMT5EncoderModel | None,
        text_tokens: int = PUBLISHED_MAX_LENGTH,
        *,
        task: WorldTask,
    ) -> None:
        super().__init__(transformer, text_encoder, text_tokens, task.subject_weight)
        self.task = task
        self.weights = task.memory_losses.weights()
        if self.weights and not transformer.has_banks:
            raise InputError(
                f"task.memory_losses teach two banks, and strategy {transformer.config['memory_strategy']!r} has none; "
                "use --strategy hybrid, or leave them at 0"
            )

    def forward(
        self, batch: dict[str, Tensor], *, velocity_only: bool = False, watch: bool = False
    ) -> dict[str, Tensor]:
        """``watch``: only let the banks see the clip, and give figures of what they hold (``bank_figures``)."""
        if velocity_only or "chunk_sizes" not in batch:
            return super().forward(batch, velocity_only=velocity_only)
        if watch:
            unrolled, _ = self._unrolled(batch, generate=False)
            assert unrolled is not None  # losses of a memory need banks
            return bank_figures(self.transformer, unrolled, truth_of(batch), batch["target_latents"])
        unrolled, flows = self._unrolled(batch, generate=self.task.flow_weight > 0)
        named: dict[str, Tensor] = {}
        more: dict[str, Tensor] = {}
        loss = torch.zeros(len(batch["context_latents"]), device=batch["context_latents"].device)
        if flows:
            named["flow"] = _over_chunks([flow.loss for flow in flows], batch)
            more["squared_error"] = _over_chunks([flow.squared_error for flow in flows], batch)
            loss = loss + self.task.flow_weight * named["flow"]
        if unrolled is not None and self.weights:
            banks = bank_losses(
                self.transformer, unrolled, truth_of(batch), batch["target_latents"], tuple(self.weights)
            )
            named |= banks
            loss = loss + sum(self.weights[name] * value for name, value in banks.items())
        return {"loss": loss, **more, **{f"loss/{name}": value.detach() for name, value in named.items()}}

    def _unrolled(self, batch: dict[str, Tensor], *, generate: bool) -> tuple[Unrolled | None, list[Flow]]:
        """Go through the chunks; without ``generate``, only the banks do."""
        context = batch["context_latents"]
        text = self.text_states(batch) if generate else None
        banks = BankRollout(self.transformer, batch) if self.transformer.has_banks else None
        history, flows = context, []
        for index, span in enumerate(chunk_spans(batch["chunk_sizes"][0].tolist())):
            part = chunk_batch(batch, history, index, span)
            retrieved = banks.ask(history, span) if banks is not None else None
            if text is not None:
                flows.append(self.flow(part, Given(text, self._keys(retrieved, text))))
            own = flows[-1].estimate if flows else None
            later = seen_later(batch, index, span, own, _sigma(part), self.task.chunks.self_forcing_max_sigma)
            history = torch.cat((history, later), dim=2)
        # The last chunk, after which nothing is generated, the banks see for their losses alone.
        return (banks.end(history) if banks is not None and self.weights else None), flows

    def _keys(self, retrieved: RetrievedMemory | None, text: Tensor) -> BankKeys | None:
        memory = self.transformer.two_banks
        if retrieved is None or memory is None or memory.settings.top_k == 0:
            return None
        return self.transformer.memory_keys(retrieved, text)


class BankRollout:
    """The two banks on their way through a clip: they see what is there, and are asked before each chunk."""

    def __init__(self, transformer: HydraTransformer3DModel, batch: dict[str, Tensor]) -> None:
        context, target = batch["context_latents"], batch["target_latents"]
        self.transformer, self.num_context = transformer, context.shape[2]
        self.poses = torch.cat((batch["context_cameras"], batch["target_cameras"]), dim=1)
        self.intrinsics = known_intrinsics(
            transformer.config, batch.get("intrinsics"), len(context), context.shape[-2:], context.device
        )
        times = torch.cat(latent_times(context.shape[2], target.shape[2], context.device))
        self.times = times.expand(len(context), -1)
        _, rows, columns = transformer.config["patch_size"]
        self.grid = LatentGrid(frames=1, height=context.shape[3] // rows, width=context.shape[4] // columns)
        self.banks: Banks | None = None
        self.parts: list[Observed] = []
        self.asked: list[Asked] = []

    def ask(self, history: Float[Tensor, "b channels f h w"], span: ChunkSpan) -> RetrievedMemory:
        """See all of ``history`` that is new, and retrieve what matters for a chunk."""
        banks = self._see(history)
        coming = span.after(self.num_context)
        poses, times = self.poses[:, coming], self.times[:, coming]
        retrieved = self.transformer.retrieve_for(
            banks, poses, times, self.grid, self.num_context, intrinsics=self.intrinsics
        )
        memory = self.transformer.needed_banks()
        predicted = memory.tracker.predict(banks.tracks, banks.time, times)
        self.asked.append(Asked(span, retrieved, predicted, banks.archive))
        self.banks = memory.note_use(banks, retrieved)
        return retrieved

    def end(self, history: Float[Tensor, "b channels f h w"]) -> Unrolled:
        """See what is left, and give everything that was seen."""
        self._see(history)
        return Unrolled(
            observed_together(self.parts), self.asked, self.poses, self.intrinsics, self.num_context
        )

    def _see(self, history: Float[Tensor, "b channels f h w"]) -> Banks:
        done = sum(part.assigned.shape[1] for part in self.parts)
        memory = self.transformer.needed_banks()
        new = slice(done, history.shape[2])
        latents = history[:, :, max(done - memory.history, 0) :]
        self.banks, observed = self.transformer.observe_context(
            latents, self.poses[:, new], self.times[:, new], self.banks, self.intrinsics
        )
        self.parts.append(observed)
        return self.banks


def _sigma(part: dict[str, Tensor]) -> Float[Tensor, " b"]:
    """The noise level of a chunk; the mean of its frames' where each has its own."""
    if "frame_levels" in part:
        return part["frame_levels"][:, part["context_latents"].shape[2] :, 1].mean(dim=1)
    return part["levels"][:, 1]


def _over_chunks(values: list[Float[Tensor, " b"]], batch: dict[str, Tensor]) -> Float[Tensor, " b"]:
    """Mean over chunks, each by its number of latent frames."""
    sizes = batch["chunk_sizes"][0].to(values[0].dtype)
    return (torch.stack(values, dim=1) * sizes).sum(dim=1) / sizes.sum()
