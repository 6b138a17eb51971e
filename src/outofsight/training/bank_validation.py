"""Figures of the two banks over validation clips: means, and whether subjects are told from each other."""

from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from outofsight.data.latent_cache import LatentSample
from outofsight.training.bank_figures import told_apart
from outofsight.training.batches import Batch
from outofsight.training.problem import mean_over_processes, own_share, to_device
from outofsight.training.subject_truth import subject_truth

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
    for index, counts in own_share(len(samples), accelerator):
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
    return float(told_apart(before, after, table[:, 1].long()).double().mean())
