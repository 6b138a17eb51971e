"""Training the recogniser: masks, kinds, and vectors that are near for the same individual or place and far for others;
how well it sees, and the export.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from outofsight.data.dataset import Dataset
from outofsight.errors import CheckpointError, InputError
from outofsight.files import replaced_folder
from outofsight.perception.network import RecogniserNetwork, RecogniserSize, Seen, pooled
from outofsight.perception.recogniser import Recogniser, load_network, save_network
from outofsight.perception.seeing import Found
from outofsight.training.batches import ClipStore
from outofsight.training.config import TrainConfig
from outofsight.training.models import choose_trainable, load_weights
from outofsight.training.randomness import first_weights, generator_for
from outofsight.training.recogniser_batches import NO_KIND, RecogniserBatches, annotation_of, augmented
from outofsight.training.task import SampleVideo, Task, open_clips, side_by_side
from outofsight.training.tasks import Augmentation, RecogniserTask
from outofsight.types import Clip, Visibility

DICE_SMOOTHING_PX = 8.0
"""Keeps the overlap's gradient finite for small subjects and for frames without any."""


class RecogniserObjective(nn.Module):
    """Give every sample's loss. ``forward`` takes what ``RecogniserBatches`` makes.

    The contrast is among the samples that one process sees at once: more processes, or ``batch.accumulation``, make
    it easier.
    """

    def __init__(self, network: RecogniserNetwork, task: RecogniserTask) -> None:
        super().__init__()
        self.network, self.task = network, task

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Float[Tensor, " b"]]:
        samples, views = batch["frames"].shape[:2]
        seen: Seen = self.network(batch["frames"].flatten(0, 1))
        ids, task = batch["ids"].flatten(0, 1), self.task
        mask = mask_loss(seen.mask_logits.float(), ids > 0).view(samples, views).mean(dim=1)
        who = self._individuals(seen, batch)
        wrong = cross_entropy(who["kind_logits"], who["kinds"], reduction="none")
        kind = mean_by_sample(wrong, who["samples"], samples)
        individual = who["samples"] * task.subjects_per_clip + who["places"]
        unlike = contrast(who["identities"], individual, task.temperature)
        identity = mean_by_sample(unlike, who["samples"], samples)
        own = batch["own_backdrop"].flatten()
        clips = torch.arange(samples, device=own.device).repeat_interleave(views)[own]
        picture = mean_by_sample(contrast(seen.pictures[own], clips, task.temperature), clips, samples)
        loss = (
            task.mask_weight * mask
            + task.kind_weight * kind
            + task.identity_weight * identity
            + task.picture_weight * picture
        )
        parts = {"mask": mask, "kind": kind, "identity": identity, "picture": picture}
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    def _individuals(self, seen: Seen, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gather every subject of every view that is large enough, one row each."""
        views = batch["frames"].shape[1]
        ids, kinds = batch["ids"].flatten(0, 1), batch["kinds"].repeat_interleave(views, dim=0)
        places = torch.arange(kinds.shape[1], device=ids.device)
        masks = ids[:, None] == (places + 1)[None, :, None, None]  # [b·v, s, h, w]
        large = (masks.flatten(2).sum(dim=2) >= self.task.least_px) & (kinds != NO_KIND)
        frame, place = large.nonzero(as_tuple=True)
        chosen = masks[frame, place]
        return {
            "samples": frame // views,
            "places": place,
            "kinds": kinds[frame, place],
            "kind_logits": pooled(seen.kind_logits[frame], chosen),
            "identities": normalize(pooled(seen.identities[frame], chosen), dim=-1),
        }


def mask_loss(logits: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Return each picture's cross entropy a pixel plus 1 − 2 |p ∧ m| / (|p| + |m|), both smoothed by some pixels.

    Source: Milletari et al. 2016 (the overlap as a loss).
    """
    truth = masks.float()
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(1, 2))
    probability = logits.sigmoid()
    shared = (probability * truth).sum(dim=(1, 2))
    total = probability.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))
    return entropy + 1 - (2 * shared + DICE_SMOOTHING_PX) / (total + DICE_SMOOTHING_PX)


def contrast(
    vectors: Float[Tensor, "n d"], labels: Int[Tensor, " n"], temperature: float
) -> Float[Tensor, " n"]:
    """Return each vector's loss: −log of the share of e^(cosine / temperature) that its fellows have, their mean.

    Vectors of length 1. One without fellows, or among its fellows alone, has nothing to learn: 0.
    Source: Khosla et al. 2020, eq. 2 (supervised contrastive, the mean outside the logarithm).
    """
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    fellows = (labels[:, None] == labels[None]) & others
    with torch.autocast(vectors.device.type, enabled=False):  # bfloat16 would round cosines to 1/256
        likeness = (vectors.float() @ vectors.float().T / temperature).masked_fill(~others, float("-inf"))
    log_share = likeness - likeness.logsumexp(dim=1, keepdim=True) if len(vectors) > 1 else likeness
    count = fellows.sum(dim=1)
    loss = -log_share.masked_fill(~fellows, 0).sum(dim=1) / count.clamp(min=1)
    has_pair = (count > 0) & (count < len(vectors) - 1)
    return torch.where(has_pair, loss, torch.zeros_like(loss))


def mean_by_sample(
    values: Float[Tensor, " n"], samples: Int[Tensor, " n"], num_samples: int
) -> Float[Tensor, " b"]:
    """Average the values of each sample; 0 for a sample that has none."""
    total = values.new_zeros(num_samples).index_add(0, samples, values)
    count = values.new_zeros(num_samples).index_add(0, samples, torch.ones_like(values))
    return total / count.clamp(min=1)


LEAST_OVERLAP = 0.5
"""Intersection over union from which a detection is the subject's."""

FALSE_ALARM_OVERLAP = 0.1
"""A detection that overlaps no subject by as much is a false alarm."""

HIDDEN = (Visibility.OCCLUDED, Visibility.OUT_OF_VIEW)


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundSubject:
    """A subject as it was found in one frame. ``after``: after it was out of sight once."""

    subject: tuple[str, int]  # clip and place
    kind: str
    identity: NDArray[np.float32]
    after: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFigures:
    """What was counted on one clip. ``overlap_px``, ``union_px``: of all subjects' pixels, over all frames."""

    overlap_px: int
    union_px: int
    num_shown: int
    num_found: int
    num_right_kind: int
    num_false: int
    num_frames: int
    sightings: tuple[FoundSubject, ...]


def answers_on(
    recogniser: Recogniser, clip: Clip, task: RecogniserTask, video: NDArray[np.uint8] | None = None
) -> ClipFigures:
    """Count on one clip. ``video``: the clip's frames, augmented in some way; ``None``: as they are.

    A subject counts as shown where it has at least ``task.least_px`` pixels.
    """
    frames = clip.video if video is None else video
    annotation = annotation_of(clip, task)
    ids = np.stack([annotation.ids(clip, frame) for frame in range(len(frames))])
    likely = recogniser.probabilities(frames) >= recogniser.rule.least_probability
    found = recogniser.detect(frames)
    shown = right = matched = 0
    sightings = []
    for place in range(len(clip.subjects)):
        kind, gone = task.kinds[annotation.kinds[place]], False
        for frame in range(len(ids)):
            own = ids[frame] == place + 1
            gone = gone or clip.subjects[place].visibility[frame] in HIDDEN
            if own.sum() < task.least_px:
                continue
            shown += 1
            best = best_match(found[frame], own)
            if best is not None and best.identity is not None:
                matched += 1
                right += best.kind == kind
                who = (clip.name, place)
                sightings.append(FoundSubject(subject=who, kind=kind, identity=best.identity, after=gone))
    return ClipFigures(
        overlap_px=int((likely & (ids > 0)).sum()),
        union_px=int((likely | (ids > 0)).sum()),
        num_shown=shown,
        num_found=matched,
        num_right_kind=right,
        num_false=sum(is_false(one, ids[frame] > 0) for frame in range(len(ids)) for one in found[frame]),
        num_frames=len(ids),
        sightings=tuple(sightings),
    )


def best_match(found: Sequence[Found], own: NDArray[np.bool_]) -> Found | None:
    """Choose the detection whose mask overlaps a subject's most; ``None`` if none does so well enough."""
    scores = [overlap(one.mask, own) for one in found if one.mask is not None]
    best = int(np.argmax(scores)) if scores else 0
    return found[best] if scores and scores[best] >= LEAST_OVERLAP else None


def is_false(found: Found, anyone: NDArray[np.bool_]) -> bool:
    """Tell whether hardly any of a detection lies on a subject."""
    assert found.mask is not None
    return float((found.mask & anyone).sum()) < FALSE_ALARM_OVERLAP * float(found.mask.sum())


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks that are not both empty."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def figures_of(clips: Sequence[ClipFigures]) -> dict[str, float]:
    """Put clips together: ``iou`` is the mean over clips, of those with a subject to be seen or wrongly seen;
    rates are over all sightings.

    ``found``: share of sightings with a detection; ``kind_accuracy``: of those found, the share whose kind is right;
    ``false_per_frame``: detections on nobody. ``identity_accuracy``: see ``retrieval``; among subjects of the same
    kind alone ``identity_accuracy_in_kind``. NaN where nothing could be counted.
    """
    overlaps = [clip.overlap_px / clip.union_px for clip in clips if clip.union_px]

    def total(name: str) -> int:
        return sum(getattr(clip, name) for clip in clips)

    return {
        "iou": float(np.mean(overlaps)) if overlaps else float("nan"),
        "found": _share(total("num_found"), total("num_shown")),
        "kind_accuracy": _share(total("num_right_kind"), total("num_found")),
        "false_per_frame": _share(total("num_false"), total("num_frames")),
        **retrieval([sighting for clip in clips for sighting in clip.sightings]),
        "num_clips": float(len(clips)),
        "num_sightings": float(total("num_shown")),
    }


def retrieval(sightings: Sequence[FoundSubject]) -> dict[str, float]:
    """Know again who comes back: the share of sightings after a subject was hidden whose nearest first look is its own.

    A subject's first look is the mean identity over the frames before it is first hidden. Subjects without one are in
    no gallery, and are not asked for.
    """
    first: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    kinds: dict[tuple[str, int], str] = {}
    for sighting in sightings:
        kinds[sighting.subject] = sighting.kind
        if not sighting.after:
            first.setdefault(sighting.subject, []).append(sighting.identity)
    asked = [sighting for sighting in sightings if sighting.after and sighting.subject in first]
    gallery = {subject: _unit(np.mean(looks, axis=0)) for subject, looks in first.items()}

    def is_known(sighting: FoundSubject, among: Iterable[tuple[str, int]]) -> bool:
        nearest = max(among, key=lambda subject: float(gallery[subject] @ sighting.identity))
        return nearest == sighting.subject

    alike = {kind: [subject for subject in gallery if kinds[subject] == kind] for kind in set(kinds.values())}
    rivalled = [sighting for sighting in asked if len(alike[sighting.kind]) > 1]
    right_in_kind = sum(is_known(sighting, alike[sighting.kind]) for sighting in rivalled)
    return {
        "identity_accuracy": _share(sum(is_known(sighting, gallery) for sighting in asked), len(asked)),
        "identity_accuracy_in_kind": _share(right_in_kind, len(rivalled)),
        "num_subjects": float(len(gallery)),
    }


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


def _share(count: int, total: int) -> float:
    return count / total if total else float("nan")


TINT = np.array([255, 60, 60], dtype=np.float32)


def recogniser_task(config: TrainConfig, data: Path) -> Task:
    task = config.task_of(RecogniserTask)
    if config.batch.gradient_checkpointing:
        raise InputError(
            "the recogniser has no gradient checkpointing; set batch.gradient_checkpointing=false"
        )
    train, validation, broken = open_clips(config, data)
    objective = RecogniserObjective(make_network(task, config.seed), task)
    return Task(
        objective=objective,
        trainable=choose_trainable(objective, ("*",)),
        batches=RecogniserBatches(ClipStore(train.entries, task.clips_in_memory), task, config.seed),
        leaves_unused=False,
        look=None if validation is None else RecogniserValidation(config, validation),
        export=lambda weights, folder, device: export_recogniser(config, weights, folder),
        broken=broken,
    )


def make_network(task: RecogniserTask, seed: int) -> RecogniserNetwork:
    """Load the network to go on from, or make one with random weights.

    Raises:
        CheckpointError: the one to go on from is missing, damaged, or knows other kinds.
    """
    if task.initial is not None:
        network = load_network(Path(task.initial))
        if network.size.kinds != task.kinds:
            raise CheckpointError(
                f"{task.initial}: knows {len(network.size.kinds)} kinds, task.kinds are {len(task.kinds)} others; give "
                "the same"
            )
        return network
    size = RecogniserSize(
        kinds=task.kinds, widths=task.widths, num_blocks=task.num_blocks, identity_dim=task.identity_dim,
        picture_dim=task.picture_dim,
    )  # fmt: skip
    with first_weights(seed, "recogniser"):
        return RecogniserNetwork(size)


class RecogniserValidation:
    """Look at the first validation clips, as they are and augmented; every process looks at all of them."""

    def __init__(self, config: TrainConfig, clips: Dataset) -> None:
        self.settings, self.task, self.clips = config.validation, config.task_of(RecogniserTask), clips

    def measure(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Return ``figures_of`` the clips, and ``spoiled_...`` of the same frames, augmented."""
        recogniser = recogniser_of(model, accelerator)
        plain, worse = [], []
        for clip in self.clips[: self.settings.num_samples]:
            plain.append(answers_on(recogniser, clip, self.task))
            spoiled = augmented_video(clip.video, clip.name, self.task.augmentation)
            worse.append(answers_on(recogniser, clip, self.task, spoiled))
        of_worse = {f"spoiled_{name}": value for name, value in figures_of(worse).items()}
        return figures_of(plain) | {name: value for name, value in of_worse.items() if "_num_" not in name}

    def show(self, model: nn.Module, accelerator: Accelerator) -> Iterator[SampleVideo]:
        """Give the frames, and beside them the same with what is seen as a subject tinted."""
        recogniser = recogniser_of(model, accelerator)
        for clip in self.clips[: self.settings.num_videos]:
            seen = tinted(clip.video, recogniser.probabilities(clip.video))
            yield SampleVideo(clip.name, side_by_side(clip.video, seen), clip.fps)


def recogniser_of(model: nn.Module, accelerator: Accelerator) -> Recogniser:
    return Recogniser(accelerator.unwrap_model(model).network)


def augmented_video(video: NDArray[np.uint8], name: str, settings: Augmentation) -> NDArray[np.uint8]:
    """Spoil every frame of a video by itself, always the same way for a name."""
    frames = [augmented(frame, settings, generator_for("spoil", name, n)) for n, frame in enumerate(video)]
    return np.stack(frames)


def tinted(video: NDArray[np.uint8], shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour pixels red, by half at a share of 1."""
    weight = 0.5 * shares[..., None]
    return np.round(video * (1 - weight) + TINT * weight).astype(np.uint8)


def export_recogniser(config: TrainConfig, weights: Mapping[str, Tensor], folder: Path) -> None:
    task = config.task_of(RecogniserTask)
    network = make_network(task, config.seed)
    load_weights(RecogniserObjective(network, task), weights)
    with replaced_folder(folder) as temporary:
        save_network(network, temporary, getattr(torch, config.state.export_dtype))
