"""How well the two banks do on a clip, in numbers that mean something: metres, shares of the picture, baselines."""

from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.data.latent_cache import LatentSample
from outofsight.memory.banks.scene_reader import project_points
from outofsight.training.bank_objective import (
    Unrolled,
    Watched,
    identities,
    last_seen_in,
    predicted_in,
    rebuilt_background,
    watched,
)
from outofsight.training.batches import Batch
from outofsight.training.memory_losses import background_loss, own_entries, shown
from outofsight.training.subject_truth import SubjectTruth, subject_truth
from outofsight.training.task import mean_over_processes, rank_slice, to_device


def bank_figures(
    transformer: HydraTransformer3DModel,
    unrolled: Unrolled,
    truth: SubjectTruth,
    target: Float[Tensor, "b channels t h w"],
) -> dict[str, Tensor]:
    """Return each sample's figures [b]; NaN where a sample has nothing to measure. The target is one chunk.

    * ``split_iou``, ``split_f1``: tokens that show a subject (a tenth of them or more), called at a probability of ½.
    * ``found``: share of subjects seen in the context that have a slot when it ends.
    * ``seen_error_m``: of their places while they are seen, after each frame; ``seen_error_diag``: the same in the
      picture, as a share of its diagonal.
    * ``hidden_error_m``: of places predicted from the context alone for the target's frames in which they are hidden;
      ``return_error_m``, ``return_error_diag``: for those in which they are seen. ``..._constant_velocity``: of
      the true place and velocity when last seen, gone on with; ``..._static``: standing still there.
    * ``background``: error of rebuilt static tokens, 1 for their mean token; ``covered``: share of static tokens that
      the archivist knows.
    * ``before``, ``after`` [b, s, e], ``pair`` [b, s]: for telling subjects from each other.
    """
    view = watched(unrolled, truth, tuple(transformer.config["patch_size"][1:]))
    figures = _split(unrolled, view)
    seen = view.seen[:, :, : unrolled.num_context].any(dim=2)
    figures["found"] = _mean((view.known_slots >= 0).float(), seen)
    figures |= _seen_errors(unrolled, view) | _prediction_errors(unrolled, view, truth)
    rebuilt, true, weight = rebuilt_background(transformer, unrolled, unrolled.asked[0], truth, target)
    errors = background_loss(rebuilt, true, weight)
    figures["background"] = torch.where(weight.flatten(1).sum(dim=1) > 1, errors, torch.nan)
    figures["covered"] = weight.flatten(1).mean(dim=1)
    before, after, pairs = identities(unrolled.observed.reading, unrolled.observed.tracks, view)
    return figures | {"before": before, "after": after, "pair": pairs.valid & truth.known}


def _split(unrolled: Unrolled, view: Watched) -> dict[str, Tensor]:
    dynamic = unrolled.observed.reading.dynamic > 0
    true = shown(view.shares.sum(dim=1)) >= 0.5
    both, either = (part.flatten(1).sum(dim=1).float() for part in (dynamic & true, dynamic | true))
    nothing = torch.where(either > 0, 1.0, torch.nan)
    iou = both / either.clamp(min=1) * nothing
    return {"split_iou": iou, "split_f1": 2 * iou / (1 + iou)}


def _seen_errors(unrolled: Unrolled, view: Watched) -> dict[str, Tensor]:
    position = own_entries(view.held.position, view.last_slots)
    counts = view.seen & (view.last_slots >= 0)[..., None] & own_entries(view.held.filled, view.last_slots)
    frames = position.shape[2]
    metres, diagonal = _errors(position, view.position, unrolled.poses[:, :frames], view, unrolled.intrinsics)
    return {"seen_error_m": _mean(metres, counts), "seen_error_diag": _mean(diagonal, counts)}


def _prediction_errors(unrolled: Unrolled, view: Watched, truth: SubjectTruth) -> dict[str, Tensor]:
    context = unrolled.num_context
    predicted = own_entries(predicted_in(unrolled.asked[0].predicted).position, view.known_slots)
    last, ever = last_seen_in(view.seen[:, :, :context])
    found = ever & (view.known_slots >= 0)
    moving, static = _simple_guesses(truth, last, context)
    true, poses = truth.position[:, :, context:], unrolled.poses[:, context:]
    seen = truth.seen[:, :, context:] & truth.known[..., None]
    hidden = ~truth.seen[:, :, context:] & truth.known[..., None]
    figures = {}
    for ending, position in (("", predicted), ("_constant_velocity", moving), ("_static", static)):
        metres, diagonal = _errors(position, true, poses, view, unrolled.intrinsics)
        figures[f"hidden_error_m{ending}"] = _mean(metres, hidden & found[..., None])
        figures[f"return_error_m{ending}"] = _mean(metres, seen & found[..., None])
        figures[f"return_error_diag{ending}"] = _mean(diagonal, seen & found[..., None])
    return figures


def _simple_guesses(
    truth: SubjectTruth, last: Int[Tensor, "b s"], context: int
) -> tuple[Float[Tensor, "b s t 3"], Float[Tensor, "b s t 3"]]:
    """Return where subjects come at constant velocity from where they truly were last seen, and that place itself."""
    pick = last[..., None, None].expand(-1, -1, 1, 3)
    place, velocity = truth.position.gather(2, pick), truth.velocity.gather(2, pick)
    since = truth.times[:, None, context:] - truth.times.gather(1, last)[..., None]
    return place + velocity * since[..., None], place.expand(-1, -1, since.shape[2], -1)


def _errors(
    position: Float[Tensor, "b s f 3"],
    true: Float[Tensor, "b s f 3"],
    poses: Float[Tensor, "b f 12"],
    view: Watched,
    intrinsics: Float[Tensor, "b 4"],
) -> tuple[Float[Tensor, "b s f"], Float[Tensor, "b s f"]]:
    """Return errors of place in metres, and in the picture as shares of its diagonal (1 for one behind the camera)."""
    size = (view.shares.shape[3], view.shares.shape[4])
    one, other = (
        project_points(points.transpose(1, 2), poses, size, intrinsics[:, None])
        for points in (position, true)
    )  # [b, f, s]
    apart = torch.hypot(one.rows - other.rows, one.columns - other.columns)
    share = (apart / (size[0] ** 2 + size[1] ** 2) ** 0.5).clamp(max=1)
    share = torch.where(one.in_front & other.in_front, share, torch.ones_like(share))
    return (position - true).norm(dim=-1), share.transpose(1, 2)


def _mean(values: Tensor, counts: Tensor) -> Float[Tensor, " b"]:
    """Mean of each sample's values that count; NaN where none does."""
    weights = counts.to(values.dtype)
    total = weights.flatten(1).sum(dim=1)
    summed = torch.where(counts, values, torch.zeros_like(values)).flatten(1).sum(dim=1)
    return torch.where(total > 0, summed / total.clamp(min=1), torch.nan)


def recognised_after_return(
    before: Float[Tensor, "n e"], after: Float[Tensor, "n e"], kinds: Int[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Tell who is recognised after the return: more like itself before than like any other of another name."""
    likeness = after @ before.T
    itself = torch.eye(len(kinds), dtype=torch.bool, device=kinds.device)
    others = likeness.masked_fill(kinds[:, None] == kinds, -torch.inf).amax(dim=1)
    return likeness[itself] > others


TOGETHER = ("before", "after", "pair")
"""Figures that are of use only beside those of other clips."""


def bank_measures(
    model: nn.Module,
    accelerator: Accelerator,
    samples: Sequence[LatentSample],
    make: Callable[[Sequence[LatentSample]], Batch],
) -> dict[str, float]:
    """Return the means of ``bank_figures`` over clips that have them, and ``identity_accuracy``, by the name
    ``banks/...``: the share of subjects that are more like themselves before their absence than like all others of
    these clips (of another name). Every clip is seen as it truly is, its target as one chunk. ``make``: a plain batch.
    """
    values: dict[str, list[float]] = {}
    rows: list[Tensor] = []
    for index, counts in rank_slice(len(samples), accelerator):
        batch = watched_batch(make([samples[index]]), [samples[index]])
        figures = model(to_device(batch, accelerator.device), watch=True)
        for name, value in figures.items():
            if name not in TOGETHER:
                values.setdefault(name, []).extend(value.tolist() if counts else ())
        pair = figures["pair"][0] & counts
        kinds = batch["truth/kind"][0].to(pair.device, torch.float64)  # below 2³², so exact
        both = torch.cat((figures["before"][0], figures["after"][0]), dim=1).double()
        row = torch.cat((pair[:, None].double(), kinds[:, None], both), dim=1)
        rows.append(row[:1])  # a clip's first subject, so that all processes gather as many
    means = mean_over_processes(values, accelerator)
    measures = {f"banks/{name}": mean for name, (mean, _) in means.items()}
    return measures | {"banks/identity_accuracy": _accuracy(accelerator.gather(torch.cat(rows)).cpu())}


def watched_batch(batch: Batch, samples: Sequence[LatentSample]) -> Batch:
    """Lay the truth beside a plain batch, its target one chunk that is seen as it is."""
    target = batch["target_latents"]
    size, frames = len(target), target.shape[2]
    return batch | subject_truth(samples).batch() | {
        "levels": torch.zeros(size, 3),
        "chunk_sizes": torch.full((size, 1), frames),
        "chunk_levels": torch.zeros(size, 1, 3),
        "history": torch.zeros(size, 1, 2),
        "history_noise": torch.zeros_like(target),
    }  # fmt: skip


def _accuracy(table: Tensor) -> float:
    """``table``: a row a subject: whether it counts, its kind, who it was and who it is."""
    table = table[table[:, 0] > 0]
    if len(table) < 2:
        return float("nan")
    before, after = table[:, 2:].chunk(2, dim=1)
    return float(recognised_after_return(before, after, table[:, 1].long()).double().mean())
