"""Clips to a latent cache: each half through the VAE by itself, captions as they are or as states."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from outofsight.codec.checkpoint_files import network_digest, weights_digest
from outofsight.codec.text import encode_prompts, max_text_tokens
from outofsight.codec.video_vae import (
    LatentTiling,
    VideoAutoencoder,
    check_video_size,
    encode_video,
    spatial_factor,
    temporal_factor,
)
from outofsight.data.dataset import SPLITS, SampleEntry, may_be_skipped, open_dataset, whole_entries
from outofsight.data.latent_annotation import clip_spans, latent_masks, latent_visibility
from outofsight.data.latent_cache import CacheIdentity, CachePlan, LatentCacheWriter, LatentSample
from outofsight.data.mirroring import SUFFIX, mirrored
from outofsight.data.published_samples import SUFFIXES, read_published_sample
from outofsight.errors import DatasetError, InputError
from outofsight.geometry.conditioning import camera_conditioning
from outofsight.memory.banks.mask_reader import MaskReader
from outofsight.memory.rendering import condition_masks
from outofsight.training.randomness import generator_for
from outofsight.training.rendered_truth import PlaceErrors, clip_memory
from outofsight.types import Clip, LatentClock

Progress = Callable[[int, int, str], None]
"""Called with (samples done, samples in all, name of the latest)."""
MakeSample = Callable[[], LatentSample]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """The networks that encode, on the device where they work. ``text_encoder``: ``None`` keeps captions as text.
    ``rendering``: also encode the target as memory renders it."""

    vae: VideoAutoencoder
    text_encoder: UMT5EncoderModel | None = None
    tokenizer: PreTrainedTokenizerBase | None = None
    tiling: LatentTiling | None = None
    rendering: "Rendering | None" = None

    def identity(self, dtype: str, samples_per_shard: int) -> CacheIdentity:
        """Name what is made by the digests of what makes it."""
        return CacheIdentity(
            vae_digest=network_digest(self.vae),
            dtype=dtype,
            text="captions" if self.text_encoder is None else "states",
            text_digest=None if self.text_encoder is None else network_digest(self.text_encoder),
            samples_per_shard=samples_per_shard,
            rendered=None if self.rendering is None else self.rendering.identity(),
        )


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """How targets are rendered: ``draws`` of the subjects' places, by ``errors``. Who is a subject in the context is
    read by ``reader``; ``None``: is known."""

    draws: int = 1
    errors: PlaceErrors = field(default_factory=PlaceErrors)
    reader: MaskReader | None = None

    def identity(self) -> dict[str, Any]:
        digest = None if self.reader is None else weights_digest(self.reader.state_dict())
        return {"draws": self.draws, "errors": asdict(self.errors), "mask_reader": digest, "scenery": True}


@dataclass(frozen=True)
class EncodeReport:
    """``num_found``: samples that were there before. ``broken``: what was left out, and why."""

    folder: Path
    num_samples: int
    num_found: int
    broken: tuple[str, ...] = ()


def dataset_parts(data: Path) -> dict[str, tuple[SampleEntry, ...]]:
    """Find the parts of a data set; a folder without parts is all for training. Raises ``DatasetError``."""
    parts = [name for name in SPLITS if (data / name).is_dir() and any((data / name).iterdir())]
    return {name: open_dataset(data, name).entries for name in parts} or {"train": open_dataset(data).entries}


def encode_dataset(
    encoder: Encoder,
    parts: Path | Mapping[str, tuple[SampleEntry, ...]],
    out: Path,
    *,
    dtype: str = "float16",
    samples_per_shard: int = 64,
    mirror: bool = False,
    progress: Progress | None = None,
    skip_broken: bool = False,
    dry_run: bool = False,
) -> list[EncodeReport]:
    """Encode every part of a data set into ``out/train`` and so on; a folder without parts becomes ``out/train``.

    ``parts``: the data set, or what ``dataset_parts`` finds in it. ``mirror``: the training part also gets every clip
    mirrored. ``skip_broken``: leave out clips that cannot be read; all are looked through for it first. ``dry_run``:
    only read every clip, refuse what would be refused, and write nothing. What was finished before is kept, so a killed
    run goes on, with the same result.

    Raises:
        DatasetError: damaged clips, or a cache of another VAE in the folder.
    """
    identity = encoder.identity(dtype, samples_per_shard)
    reports = []
    for part, entries in (dataset_parts(parts) if isinstance(parts, Path) else parts).items():
        whole, broken = whole_entries(entries) if skip_broken else (entries, ())
        samples = _to_encode(encoder, whole, out / part, mirror and part == "train")
        if dry_run:
            report = _planned(identity, samples, out / part)[0]
            for entry in whole:
                check_clip(encoder, _read(entry), entry.name)
        else:
            report = _fill(encoder, identity, samples, out / part, progress, f"{part}/")
        reports.append(replace(report, broken=broken))
    return reports


def _read(entry: SampleEntry) -> Clip:
    with may_be_skipped():
        return entry.read()


def _to_encode(
    encoder: Encoder, entries: tuple[SampleEntry, ...], folder: Path, mirror: bool
) -> dict[str, MakeSample]:
    """Say by name how samples are made. Raises ``DatasetError`` if two share a name."""

    def encoded(entry: SampleEntry, name: str) -> LatentSample:
        clip = _read(entry)
        return encode_clip(encoder, clip if name == entry.name else mirrored(clip), name)

    named = [(entry.name, entry) for entry in entries]
    if mirror:
        named += [(entry.name + SUFFIX, entry) for entry in entries]
    samples: dict[str, MakeSample] = {name: partial(encoded, entry, name) for name, entry in named}
    if len(samples) < len(named):
        raise DatasetError(f"{folder}: some samples share a name; give each folder a name of its own")
    return samples


def _planned(identity: CacheIdentity, names: Iterable[str], folder: Path) -> tuple[EncodeReport, list[str]]:
    """Tell what is there already, and the samples that are missing. Raises ``DatasetError`` for another cache."""
    names = list(names)
    plan = CachePlan(folder, identity, names)
    plan.check()
    missing = [name for _, shard in plan.missing() for name in shard]
    return EncodeReport(folder, len(names), len(names) - len(missing)), missing


def _fill(
    encoder: Encoder,
    identity: CacheIdentity,
    samples: Mapping[str, MakeSample],
    folder: Path,
    progress: Progress | None,
    prefix: str = "",
) -> EncodeReport:
    """Make a cache whole, sample by sample. ``prefix``: of the names that ``progress`` is told."""
    writer = LatentCacheWriter(folder, identity, list(samples))
    missing = list(writer.missing())
    found = done = len(samples) - sum(len(shard) for _, shard in missing)
    for number, shard in missing:
        made = []
        for name in shard:
            made.append(samples[name]())
            done += 1
            if progress is not None:
                progress(done, len(samples), prefix + name)
        writer.write(number, made)
    if encoder.text_encoder is not None:
        writer.write_empty_caption(text_states(encoder, ""))
    writer.finish()
    return EncodeReport(folder, len(samples), found)


def gather_published(
    encoder: Encoder,
    samples: Path,
    folder: Path,
    *,
    dtype: str = "float16",
    samples_per_shard: int = 64,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> EncodeReport:
    """Make a cache of the published script's samples, under the digests of the networks said to have made them.

    ``dry_run``: only read the samples that are missing, refuse what would be refused, and write nothing.

    Raises:
        DatasetError: there are none, or one is damaged.
    """
    if not samples.is_dir():
        raise DatasetError(f"{samples}: expected a folder of samples, found none")
    paths = [path for path in sorted(samples.iterdir()) if path.suffix in SUFFIXES]
    if not paths:
        raise DatasetError(f"{samples}: holds no samples; expected files that end in {' or '.join(SUFFIXES)}")
    read: dict[str, MakeSample] = {path.stem: partial(read_published_sample, path) for path in paths}
    identity = encoder.identity(dtype, samples_per_shard)
    report, missing = _planned(identity, read, folder)
    for name in missing if dry_run else missing[:1]:  # a folder of something else leaves no cache behind
        read[name]()
    return report if dry_run else _fill(encoder, identity, read, folder, progress)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let an ``InputError`` say of which sample it is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"sample {name!r}: {error}") from error


def check_clip(encoder: Encoder, clip: Clip, name: str) -> None:
    """Raise ``InputError`` naming a clip whose length or size does not fit the VAE."""
    with _naming(name):
        for half in (clip.num_context_frames, clip.num_target_frames):
            check_video_size(half, clip.video.shape[1], clip.video.shape[2], encoder.vae)


@torch.inference_mode()
def encode_clip(encoder: Encoder, clip: Clip, name: str) -> LatentSample:
    """Encode one clip. Raises ``InputError`` naming it if its length or size does not fit the VAE."""
    with _naming(name):
        return _encode_clip(encoder, clip, name)


def _encode_clip(encoder: Encoder, clip: Clip, name: str) -> LatentSample:
    split = clip.num_context_frames
    halves = []
    for frames in (clip.video[:split], clip.video[split:]):
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)[None]
        video = pixels.to(encoder.vae.device).float() / 127.5 - 1
        halves.append(encode_video(encoder.vae, video, encoder.tiling)[0].cpu().numpy())
    stride = temporal_factor(encoder.vae)
    cameras = camera_conditioning(clip.cameras[:split], clip.cameras[split:], stride)
    return LatentSample(
        name=name,
        caption=clip.caption,
        context_latents=halves[0],
        target_latents=halves[1],
        context_cameras=cameras.context,
        target_cameras=cameras.target,
        text_states=None if encoder.text_encoder is None else text_states(encoder, clip.caption),
        world_from_camera=np.asarray(clip.cameras.world_from_camera),
        intrinsics=cameras.intrinsics,
        facts=_facts(clip),
        **(_rendered(encoder, encoder.rendering, clip, name) if encoder.rendering is not None else {}),
        **_annotation(clip, stride, spatial_factor(encoder.vae)),
    )


def _rendered(encoder: Encoder, rendering: Rendering, clip: Clip, name: str) -> dict[str, Any]:
    """Encode the target as memory renders it; every draw is a function of the clip's name and its number.

    The scenery alone comes last, for strategies that show no subjects.
    """
    memory = clip_memory(clip, rendering.reader)
    scenery = memory.scenery()
    draws = [
        memory.rendered(scenery, rendering.errors, generator_for("rendered", name, draw))
        for draw in range(rendering.draws)
    ]
    latents, masks = [], []
    for drawn in (*draws, scenery):
        pixels = drawn.pixels.to(encoder.vae.device)
        latents.append(encode_video(encoder.vae, pixels, encoder.tiling)[0].cpu().numpy())
        shares = condition_masks(drawn, spatial_factor(encoder.vae))[0].numpy()
        masks.append(np.rint(shares * 255).astype(np.uint8))
    return {
        "rendered_latents": np.stack(latents[:-1]),
        "rendered_masks": np.stack(masks[:-1]),
        "scenery_latents": latents[-1],
        "scenery_masks": masks[-1],
    }


@torch.inference_mode()
def text_states(encoder: Encoder, caption: str) -> NDArray[np.float32]:
    """Return a caption's states [l, width], without the zeros beyond its end."""
    assert encoder.text_encoder is not None
    assert encoder.tokenizer is not None
    length = max_text_tokens(encoder.tokenizer)
    states = encode_prompts(
        encoder.text_encoder, encoder.tokenizer, [caption], length, allow_empty=not caption
    )[0]
    used = states.float().abs().sum(dim=1).nonzero()
    length = int(used.max()) + 1 if len(used) else 0
    return states[:length].float().cpu().numpy()


def _annotation(clip: Clip, stride: int, factor: int) -> dict[str, Any]:
    """What is known of the subjects, in video frames and at latent resolution."""
    spans = clip_spans(clip.num_context_frames, clip.num_target_frames, LatentClock(stride))
    known: dict[str, Any] = {}
    if clip.masks is not None:
        known["subject_ids"], known["subject_share"] = latent_masks(clip.masks, spans, factor)
    if clip.subjects:
        known["visibility"] = np.stack([subject.visibility for subject in clip.subjects]).astype(np.int8)
        known["latent_visibility"] = latent_visibility(known["visibility"], spans)
    for name in ("world_from_subject", "velocity_m_s"):
        values = [getattr(subject, name) for subject in clip.subjects]
        if values and all(value is not None for value in values):
            known[name] = np.stack(values).astype(np.float32)
    return known


def _facts(clip: Clip) -> dict[str, Any]:
    return {
        "fps": clip.fps,
        "num_context_frames": clip.num_context_frames,
        "num_target_frames": clip.num_target_frames,
        "size_px": list(clip.video.shape[1:3]),
        "masks_are_instances": clip.masks_are_instances,
        "subjects": [
            {"id": subject.subject_id, "name": subject.name, "category": subject.category}
            for subject in clip.subjects
        ],
    }
