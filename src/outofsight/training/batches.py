"""Batches as a pure function of (seed, step, positions), read ahead by threads."""

import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedTokenizerBase

from outofsight.backbone.sequence import looks_at_lens
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.text import CaptionTruncatedWarning, clean_prompt, max_text_tokens
from outofsight.data.dataset import SampleEntry, may_be_skipped
from outofsight.data.latent_annotation import subject_shares
from outofsight.data.latent_cache import LatentCache, LatentSample
from outofsight.errors import DatasetError, InputError
from outofsight.memory.settings import read_bank_settings
from outofsight.training.randomness import NoiseLevels, generator_for, normal, sample_index
from outofsight.training.subject_truth import subject_truth
from outofsight.training.tasks import VaeTask, WorldTask
from outofsight.training.unrolling import chunk_chance
from outofsight.types import WAN_CLOCK, Clip

Batch = dict[str, Tensor]


class Batches(ABC):
    """Makes batches of training samples. ``identity`` tells the data from other data."""

    def __init__(self, samples: Sequence[str], seed: int, identity: dict[str, Any]) -> None:
        self.samples, self.seed, self.identity = samples, seed, identity

    def index(self, position: int) -> int:
        """Tell which sample stands at a position of the run."""
        return sample_index(self.seed, position, len(self.samples))

    def names(self, positions: Sequence[int]) -> list[str]:
        return [self.samples[self.index(place)] for place in positions]

    @abstractmethod
    def make(self, step: int, positions: Sequence[int]) -> Batch: ...


def read_ahead(
    make: Callable[[int, Sequence[int]], Batch], jobs: Iterable[tuple[int, Sequence[int]]], workers: int
) -> Generator[Batch, None, None]:
    """Give ``make(step, positions)`` of every job, in order, while threads make the next ones."""
    pending: deque[Future[Batch]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for job in jobs:
            pending.append(pool.submit(make, *job))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class ClipStore:
    """Clips of a data set, decoded; the most recent ``capacity`` stay in memory. Safe to read from threads."""

    def __init__(self, entries: Sequence[SampleEntry], capacity: int) -> None:
        self.entries, self.capacity = tuple(entries), capacity
        self._kept: OrderedDict[int, Clip] = OrderedDict()
        self._lock = Lock()

    def clip(self, index: int) -> Clip:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        with may_be_skipped():
            clip = self.entries[index].read()
        with self._lock:
            self._kept[index] = clip
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        return clip


def subject_mask(clip: Clip) -> np.ndarray:
    """Return uint8 [n, height, width], 1 where a subject is; all 0 where the clip has no masks."""
    if clip.masks is None:
        return np.zeros(clip.video.shape[:3], dtype=np.uint8)
    return (clip.masks > 0).astype(np.uint8)


class ClipBatches(Batches):
    """Samples of clips, each a function of its position."""

    def __init__(self, store: ClipStore, seed: int) -> None:
        names = [entry.name for entry in store.entries]
        super().__init__(names, seed, {"clips": names})
        self.store = store

    def stacked(self, samples: Sequence[Batch], positions: Sequence[int], advice: str) -> Batch:
        """Make a batch of samples. Raises ``InputError`` if they differ in size, with ``advice``."""
        if any(part.shape != samples[0][name].shape for sample in samples for name, part in sample.items()):
            raise InputError(f"samples {', '.join(self.names(positions))} differ in size; {advice}")
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


class VaeBatches(ClipBatches):
    """Windows cut from clips: which clip, when, where, mirrored or not, all by the sample's position."""

    def __init__(self, store: ClipStore, task: VaeTask, latent_channels: int, seed: int) -> None:
        super().__init__(store, seed)
        self.task, self.channels = task, latent_channels

    def num_frames(self, step: int) -> int:
        """Tell whether a step is of single frames: 1, or of clips."""
        single = generator_for(self.seed, "single", step).random() < self.task.single_frame_share
        return 1 if single else self.task.num_frames

    def make(self, step: int, positions: Sequence[int]) -> Batch:
        num_frames = self.num_frames(step)
        windows = [self._window(position, num_frames) for position in positions]
        return self.stacked(windows, positions, "set task.crop_px to a size that all have")

    def _window(self, position: int, num_frames: int) -> Batch:
        clip = self.store.clip(self.index(position))
        generator = generator_for(self.seed, "window", position)
        length, height, width, _ = clip.video.shape
        rows, columns = self.task.crop_px or (height, width)
        if length < num_frames or height < rows or width < columns:
            raise DatasetError(
                f"clip {clip.name!r} has {length} frames of {height}×{width}, a window needs {num_frames} of "
                f"{rows}×{columns}; set task.num_frames and task.crop_px to fit"
            )
        start, top, left = (
            int(generator.integers(whole - part + 1))
            for whole, part in ((length, num_frames), (height, rows), (width, columns))
        )
        place = (slice(start, start + num_frames), slice(top, top + rows), slice(left, left + columns))
        video, mask = clip.video[place], subject_mask(clip)[place]
        if generator.random() < self.task.flip_share:
            video, mask = video[:, :, ::-1], mask[:, :, ::-1]
        latent = (self.channels, WAN_CLOCK.num_latent(num_frames), rows // 8, columns // 8)
        return {
            "video": torch.from_numpy(video.copy()),
            "subjects": torch.from_numpy(mask.copy()),
            "noise": normal(latent, self.seed, "posterior", position),
        }


class Captions:
    """Captions as the objective takes them: tokens, or states read from the cache."""

    def __init__(self, cache: LatentCache, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_text_tokens(tokenizer)
        self.empty = torch.from_numpy(cache.empty_caption()) if cache.identity.text == "states" else None

    def batch(self, samples: Sequence[LatentSample], dropped: Sequence[bool]) -> Batch:
        if self.empty is None:
            return self._tokens(["" if drop else s.caption for s, drop in zip(samples, dropped, strict=True)])
        states = []
        for sample, drop in zip(samples, dropped, strict=True):
            if sample.text_states is None:
                raise DatasetError(f"sample {sample.name!r} has no text states; encode again")
            own = self.empty if drop else torch.from_numpy(sample.text_states)
            states.append(pad(own, (0, 0, 0, self.max_tokens - len(own))))
        return {"text_states": torch.stack(states)}

    def _tokens(self, captions: Sequence[str]) -> Batch:
        ids = [self._ids(caption) for caption in captions]
        tokens = torch.zeros(len(ids), max([1, *map(len, ids)]), dtype=torch.long)
        known = torch.zeros_like(tokens)
        for row, own in enumerate(ids):
            tokens[row, : len(own)] = torch.tensor(own)
            known[row, : len(own)] = 1
        return {"tokens": tokens, "token_mask": known}

    def _ids(self, caption: str) -> list[int]:
        ids: list[int] = self.tokenizer(clean_prompt(caption), truncation=False, verbose=False).input_ids
        if len(ids) > self.max_tokens:
            warnings.warn(
                f"caption {caption[:40]!r}... has {len(ids)} tokens, the model takes {self.max_tokens}; its end is "
                "left out",
                CaptionTruncatedWarning,
                stacklevel=2,
            )
            whole = clean_prompt(caption)
            ids = self.tokenizer(whole, truncation=True, max_length=self.max_tokens, verbose=False).input_ids
        return ids


@dataclass(frozen=True, kw_only=True)
class MemoryNeeds:
    """What a strategy asks of the data. ``masks``: where subjects are. ``frame_noise``: a level for each frame.
    ``default_fov_x_deg``: the lens that stands where none is known, of a model that looks at it. ``rendered``: what the
    target is shown of memory, as ``BankSettings.rendered``."""

    masks: bool = False
    frame_noise: bool = False
    default_fov_x_deg: float | None = None
    rendered: Literal["none", "scenery", "all"] = "none"

    @classmethod
    def of(cls, transformer: HydraTransformer3DModel) -> "MemoryNeeds":
        config, banks = transformer.config, read_bank_settings(transformer.config)
        return cls(
            masks=transformer.needs_subject_masks != "none",
            frame_noise=transformer.has_frame_noise,
            default_fov_x_deg=config["camera_fov_x_deg"] if looks_at_lens(config) else None,
            rendered=banks.rendered if banks is not None and transformer.shows_rendered else "none",
        )


class UnknownLensWarning(UserWarning):
    """A clip does not say through which lens it was seen."""


class WorldBatches(Batches):
    """Samples of a latent cache with their noise, noise level and dropped conditions, all by position."""

    def __init__(
        self,
        cache: LatentCache,
        captions: Captions,
        levels: NoiseLevels,
        task: WorldTask,
        seed: int,
        needs: MemoryNeeds | None = None,
    ) -> None:
        names = list(cache.names)
        super().__init__(names, seed, {"vae_digest": cache.identity.vae_digest, "samples": names})
        self.cache, self.captions, self.levels, self.task = cache, captions, levels, task
        self.needs = needs or MemoryNeeds()
        self._warned, self._lock = False, Lock()

    def make(self, step: int, positions: Sequence[int]) -> Batch:
        samples = [self.cache[self.index(place)] for place in positions]
        chances = [generator_for(self.seed, "dropout", place).random(2) for place in positions]
        no_caption = [bool(chance[0] < self.task.caption_dropout) for chance in chances]
        no_camera = [bool(chance[1] < self.task.camera_dropout) for chance in chances]
        batch = plain_batch(samples)
        self._warn_of_unknown_lenses(samples)
        for name in ("context_cameras", "target_cameras"):
            batch[name][torch.tensor(no_camera)] = 0
        shape = tuple(batch["target_latents"].shape[1:])
        batch["noise"] = torch.stack([normal(shape, self.seed, "noise", place) for place in positions])
        batch["levels"] = torch.stack([self.levels.draw(self.seed, place) for place in positions])
        if self.needs.rendered != "none":
            batch |= self._rendered(samples, positions)
        if self.needs.frame_noise:
            batch |= self._frame_noise(batch, positions)
        if self.needs.masks:
            batch["subject_masks"] = subject_masks(samples)
        if self.task.subject_weight:
            batch["subject_share"] = torch.stack([target_subject_share(sample) for sample in samples])
        if self.task.unrolls:
            batch |= chunk_chance(self.task.chunks, self.levels, shape, self.seed, step, positions)
            if "rendered" in batch:
                batch["chunk_levels"] = self._lowered(batch["chunk_levels"], batch["rendered"])
        if "rendered" in batch:
            batch["levels"] = self._lowered(batch["levels"], batch["rendered"])
        if self.task.memory_losses.weights():
            batch |= subject_truth(samples).batch()
        return batch | self.captions.batch(samples, no_caption)

    def _rendered(self, samples: Sequence[LatentSample], positions: Sequence[int]) -> Batch:
        """Choose a draw of each sample's rendered memory; zeros, nothing known, in a share of cases."""
        shown = []
        for sample, place in zip(samples, positions, strict=True):
            chance = generator_for(self.seed, "rendered", place)
            memory = rendered_draw(sample, self.needs.rendered, int(chance.integers(1 << 30)))
            shown.append(memory * float(chance.random() >= self.task.rendered_dropout))
        return {"rendered": torch.stack(shown)}

    def _lowered(self, levels: Tensor, rendered: Tensor) -> Tensor:
        """Lower the noise levels [b, ..., 3] of samples that are shown rendered memory, by ``rendered_strength``."""
        shown = rendered.flatten(1).any(dim=1)
        factor = torch.where(shown, self.task.rendered_strength, 1.0)
        lowered = levels[..., 0] * factor.view(-1, *[1] * (levels.ndim - 2))
        return torch.stack([self.levels.at(timestep) for timestep in lowered.flatten()]).view_as(levels)

    def _warn_of_unknown_lenses(self, samples: Sequence[LatentSample]) -> None:
        """Say once that a default lens stands in, if the model looks at it."""
        fov, unknown = self.needs.default_fov_x_deg, [s.name for s in samples if s.intrinsics is None]
        with self._lock:
            if fov is None or not unknown or self._warned:
                return
            self._warned = True
        warnings.warn(
            f"{self.cache.folder}: sample {unknown[0]!r} and perhaps others do not say their lens; the model's "
            f"default, {fov:g}° across, stands in; encode clips that know their intrinsics to do better",
            UnknownLensWarning,
            stacklevel=2,
        )

    def _frame_noise(self, batch: Batch, positions: Sequence[int]) -> Batch:
        """Draw noise for the context as well, and a level for every frame: [b, f, 3]. Source: DFoT, section 3."""
        shape = tuple(batch["context_latents"].shape[1:])
        frames = range(shape[1] + batch["target_latents"].shape[2])
        levels = [
            torch.stack([self.levels.draw(self.seed, place, frame) for frame in frames])
            for place in positions
        ]
        noise = [normal(shape, self.seed, "context noise", place) for place in positions]
        return {"frame_levels": torch.stack(levels), "context_noise": torch.stack(noise)}


def rendered_draw(sample: LatentSample, rendered: str, draw: int) -> Float[Tensor, "n t h w"]:
    """Return one draw of a sample's rendered memory (``all``), or the ``scenery`` alone: latents, then masks.

    Raises:
        DatasetError: the sample has none.
    """
    scenery = rendered == "scenery"
    what = "rendered scenery without subjects" if scenery else "rendered memory"
    latents = sample.scenery_latents if scenery else sample.rendered_latents
    masks = sample.scenery_masks if scenery else sample.rendered_masks
    if latents is None or masks is None:
        raise DatasetError(
            f"sample {sample.name!r} has no {what}, which this model is shown; encode anew with --rendered 1"
        )
    if not scenery:
        latents, masks = latents[draw % len(latents)], masks[draw % len(masks)]
    return torch.cat((torch.from_numpy(latents).float(), torch.from_numpy(masks).float() / 255))


def subject_masks(samples: Sequence[LatentSample]) -> Float[Tensor, "b s f h w"]:
    """Return every subject's share of each latent pixel, 0 to 1; zeros where a sample has fewer subjects than another.

    Raises:
        DatasetError: a sample does not know its subjects.
    """
    shares = []
    for sample in samples:
        if sample.subject_ids is None or sample.subject_share is None:
            raise DatasetError(
                f"sample {sample.name!r} has no subject masks, which this strategy needs; encode clips that have them"
            )
        shares.append(torch.from_numpy(subject_shares(sample.subject_ids, sample.subject_share)))
    most = max(len(own) for own in shares)
    return torch.stack([pad(own, (0, 0, 0, 0, 0, 0, 0, most - len(own))) for own in shares])


def target_subject_share(sample: LatentSample) -> Float[Tensor, "t h w"]:
    """Return the share, 0 to 1, of each latent pixel of the target half that shows a subject.

    Raises:
        DatasetError: the sample does not know its subjects.
    """
    if sample.subject_share is None:
        raise DatasetError(
            f"sample {sample.name!r} has no subject masks; set task.subject_weight=0, or encode clips that have them"
        )
    return torch.from_numpy(sample.subject_share[sample.context_latents.shape[1] :]).float() / 255


def plain_batch(samples: Sequence[LatentSample]) -> Batch:
    """Stack latents, cameras and lenses (``intrinsics`` [b, 4], NaN where a lens is unknown). Raises ``DatasetError``
    naming samples of different shapes."""
    batch = {}
    for name in ("context_latents", "target_latents", "context_cameras", "target_cameras"):
        values = [torch.from_numpy(getattr(sample, name)).float() for sample in samples]
        odd = [s.name for s, value in zip(samples, values, strict=True) if value.shape != values[0].shape]
        if odd:
            raise DatasetError(
                f"samples {samples[0].name!r} and {odd[0]!r} differ in size or length; train on clips of one size"
            )
        batch[name] = torch.stack(values)
    unknown = np.full(4, np.nan, dtype=np.float32)
    lenses = [unknown if sample.intrinsics is None else sample.intrinsics for sample in samples]
    batch["intrinsics"] = torch.from_numpy(np.stack(lenses))
    return batch
