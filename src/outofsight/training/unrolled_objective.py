"""What a world model learns when its target is unrolled in chunks, and what its two banks learn beside the flow."""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import UMT5EncoderModel

from outofsight.backbone.attention import BankKeys
from outofsight.backbone.inputs import known_intrinsics
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.text import PUBLISHED_MAX_LENGTH
from outofsight.errors import InputError
from outofsight.memory.banks.state import Banks, Recall
from outofsight.memory.banks.two_banks import Observed, latent_times
from outofsight.training.bank_figures import bank_figures
from outofsight.training.bank_objective import Asked, Unrolled, bank_losses, observed_together
from outofsight.training.config import WorldTask
from outofsight.training.subject_truth import truth_of
from outofsight.training.unrolling import Span, chunk_batch, seen_later, spans
from outofsight.training.world_objective import Flow, Given, WorldObjective
from outofsight.types import LatentGrid


class UnrolledObjective(WorldObjective):
    """Generate the target chunk after chunk and add up the losses of the flow and of the memory.

    Every chunk is noised by a level of its own. It sees as many latent frames as the context has (of them what its
    strategy lets in), and what the banks recall of everything before it. ``forward`` takes what ``WorldBatches`` makes
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
        loss = torch.zeros(len(batch["context_latents"]), device=batch["context_latents"].device)
        more: dict[str, Tensor] = {}
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
        walk = BankWalk(self.transformer, batch) if self.transformer.has_banks else None
        history, flows = context, []
        cut = spans(batch["chunk_sizes"][0].tolist())
        for index, span in enumerate(cut):
            part = chunk_batch(batch, history, index, span)
            recall = walk.ask(history, span) if walk is not None else None
            own = None
            if generate:
                assert text is not None
                keys = self._keys(recall, text)
                flow = self.flow(part, Given(text, keys))
                flows.append(flow)
                own = flow.estimate
            later = seen_later(batch, index, span, own, _sigma(part), self.task.chunks.own_max_sigma)
            history = torch.cat((history, later), dim=2)
        return (walk.end(history) if walk is not None and self._looks_on() else None), flows

    def _keys(self, recall: Recall | None, text: Tensor) -> BankKeys | None:
        memory = self.transformer.two_banks
        if recall is None or memory is None or memory.settings.top_k == 0:
            return None
        return self.transformer.memory_keys(recall, text)

    def _looks_on(self) -> bool:
        """Whether the banks are to see the last chunk too, which nothing is generated after."""
        return bool(self.weights)


class BankWalk:
    """The two banks on their way through a clip: they see what is there, and are asked before each chunk."""

    def __init__(self, transformer: HydraTransformer3DModel, batch: dict[str, Tensor]) -> None:
        context, target = batch["context_latents"], batch["target_latents"]
        self.transformer, self.num_context = transformer, context.shape[2]
        self.poses = torch.cat((batch["context_cameras"], batch["target_cameras"]), dim=1)
        self.intrinsics = known_intrinsics(transformer.config, batch.get("intrinsics"), context)
        times = torch.cat(latent_times(context.shape[2], target.shape[2], context.device))
        self.times = times.expand(len(context), -1)
        _, rows, columns = transformer.config["patch_size"]
        self.grid = LatentGrid(frames=1, height=context.shape[3] // rows, width=context.shape[4] // columns)
        self.banks: Banks | None = None
        self.parts: list[Observed] = []
        self.asked: list[Asked] = []

    def ask(self, history: Float[Tensor, "b channels f h w"], span: Span) -> Recall:
        """See all of ``history`` that is new, and recall what matters for a chunk."""
        banks = self._see(history)
        coming = slice(self.num_context + span.begin, self.num_context + span.end)
        poses, times = self.poses[:, coming], self.times[:, coming]
        recall = self.transformer.recall(
            banks, poses, times, self.grid, self.num_context, intrinsics=self.intrinsics
        )
        memory = self.transformer.two_banks
        assert memory is not None
        foreseen = memory.tracker.predict(banks.tracks, banks.time, times)
        self.asked.append(Asked(span, recall, foreseen, banks.archive))
        self.banks = memory.note_use(banks, recall)
        return recall

    def end(self, history: Float[Tensor, "b channels f h w"]) -> Unrolled:
        """See what is left, and give everything that was seen."""
        self._see(history)
        return Unrolled(
            observed_together(self.parts), self.asked, self.poses, self.intrinsics, self.num_context
        )

    def _see(self, history: Float[Tensor, "b channels f h w"]) -> Banks:
        done = sum(part.assigned.shape[1] for part in self.parts)
        memory = self.transformer.two_banks
        assert memory is not None
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
