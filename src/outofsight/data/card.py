"""The data set's README: what each field means, and what is in it, counted from the files: how long subjects are away,
when they return, who they are, where, under which camera.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from outofsight.data.annotation import ANNOTATION_VERSION, FIELDS, read_annotation, read_subjects_of
from outofsight.data.dataset import SPLITS, SampleEntry, open_dataset
from outofsight.data.sample import __doc__ as LAYOUT
from outofsight.files import file_in_one_piece, write_text
from outofsight.types import SubjectTrack, is_seen

FILE_SHAPES = (
    ("cond.mp4", "RGB video", "context frames, H.264"),
    ("tgt.mp4", "RGB video", "target frames, H.264"),
    ("cond_mask.mp4, tgt_mask.mp4", "video", "white where any subject is, lossless"),
    ("camera.json", "{cond_cam, tgt_cam}: frame → 4×4", "camera-to-world, Unreal axes, cm"),
    ("character.json", "{cond_character, tgt_character}: subject → frame → [x, y, z]", "Unreal world, cm"),
    ("check.json", "{cond_check, tgt_check}: actor → subject → events", "frame of the half, inFrame true or false"),
    ("instances.npz", "ids: uint8 [n, height, width]", "0 scenery, else the subject's id"),
    ("depth.npz (if asked for)", "depth_m: float16 [n, height, width]", "metres along the camera axis, inf in the sky"),
)  # fmt: skip


def write_dataset_card(folder: Path, identity: dict[str, Any]) -> tuple[int, int]:
    """Write README.md, and give how many worlds were drawn and rendered for it.

    Raises ``OutputError``, or ``DatasetError`` if a sample has no readable annotation.
    """
    samples = [_sample(entry) for entry in open_dataset(folder).entries]
    stats = count_samples(samples)
    parts = [
        "# Clips of worlds whose subjects leave, move on unseen, and return",
        _summary(stats, [sample.record for sample in samples]),
        _split_table(samples),
        "## Scenes\n\n" + _counted(stats.scenes),
        "## Subjects\n\n" + _counted(stats.subjects),
        "## Cameras\n\n" + _counted(stats.cameras),
        "## Files of a sample\n\n```" + (LAYOUT or "").split("\n\n", 1)[1] + "```",
        "## Shapes and units\n\n" + _table(("file", "form", "content"), FILE_SHAPES),
        f"## annotation.json, version {ANNOTATION_VERSION}\n\n"
        + _table(("field", "meaning"), FIELDS.items()),
        f"## Made from\n\n```json\n{json.dumps(identity, indent=2, ensure_ascii=False)}\n```\n\n"
        "The same settings give the same clips.",
    ]
    write_text(folder / "README.md", "\n\n".join(parts) + "\n")
    return stats.num_drawn, stats.num_rendered


def _summary(stats: "DatasetStats", records: Sequence[dict[str, Any]]) -> str:
    first, drawn, rendered = records[0], stats.num_drawn, stats.num_rendered
    sizes = sorted({(record["height_px"], record["width_px"]) for record in records})
    lines = [
        f"{len(records)} clips of {first['num_context_frames']} context and {first['num_target_frames']} target frames "
        f"at {first['fps']:g} frames a second, {', '.join(f'{h}×{w}' for h, w in sizes)} px.",
        "In every clip some subject is seen in the context, leaves the picture, and is seen again in the target.",
    ]
    if drawn and rendered:
        lines.append(
            f"Acceptance: {len(records)} clips of {drawn} drawn worlds ({len(records) / drawn:.1%}) by geometry; masks "
            f"confirmed {len(records)} of {rendered} rendered ({len(records) / rendered:.1%})."
        )
    return "\n".join(lines)


def _split_table(samples: Sequence["_Sample"]) -> str:
    rows = []
    for split in SPLITS:
        held = [sample.extra.get("held_out", {}) for sample in samples if sample.split == split]
        counts = (
            len(held),
            sum(bool(one.get("scene")) for one in held),
            sum(bool(one.get("subjects")) for one in held),
        )
        rows.append((split, *map(str, counts)))
    heads = ("part", "clips", "in held-out scenes", "with held-out subjects")
    return "## Parts\n\n" + _table(heads, rows)


def _counted(counter: Counter[str]) -> str:
    return _table(("name", "times"), [(name, str(count)) for name, count in sorted(counter.items())])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


DRAWN_BY = "outofsight"
"""Says in a drawing that it is ours, so that it may be drawn anew."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    subjects: tuple[SubjectTrack, ...]
    num_context_frames: int
    num_frames: int
    record: dict[str, Any] = field(default_factory=dict)
    split: str = "all"

    @property
    def extra(self) -> dict[str, Any]:
        return self.record.get("extra", {})


@dataclass(frozen=True, kw_only=True)
class DatasetStats:
    """Counts over a data set. ``hidden_frames``: length of each absence between two sightings; ``reentry_frames``:
    frames after the start of the target at which a subject that was away is seen again."""

    num_clips: int
    num_frames: int
    hidden_frames: tuple[int, ...]
    reentry_frames: tuple[int, ...]
    subjects_per_clip: Counter[int]
    subjects: Counter[str]
    categories: Counter[str]
    scenes: Counter[str]
    cameras: Counter[str]
    splits: Counter[str]
    num_drawn: int
    num_rendered: int


def dataset_stats(folder: Path) -> DatasetStats:
    """Count what is in a folder, ours or HM-World's. Raises ``DatasetError`` naming what cannot be read."""
    return count_samples([_sample(entry) for entry in open_dataset(folder).entries])


def _sample(entry: SampleEntry) -> _Sample:
    if not entry.is_ours:
        clip = entry.read()
        return _Sample(
            subjects=clip.subjects, num_context_frames=clip.num_context_frames, num_frames=len(clip.video)
        )
    path = entry.folder / "annotation.json"
    record = read_annotation(path)
    subjects = read_subjects_of(record, str(path))
    context, target = int(record["num_context_frames"]), int(record["num_target_frames"])
    return _Sample(
        subjects=subjects, num_context_frames=context, num_frames=context + target, record=record,
        split=entry.split or "all",
    )  # fmt: skip


def count_samples(samples: Sequence[_Sample]) -> DatasetStats:
    hidden, returns = [], []
    for sample in samples:
        for subject in sample.subjects:
            for exit_frame, entry_frame in absences(subject):
                hidden.append(entry_frame - exit_frame)
                if entry_frame >= sample.num_context_frames:
                    returns.append(entry_frame - sample.num_context_frames)
    accepted = [sample.extra.get("acceptance", {}) for sample in samples]
    cameras = [sample.extra.get("spec", {}).get("camera", {}) for sample in samples]
    return DatasetStats(
        num_clips=len(samples),
        num_frames=sum(sample.num_frames for sample in samples),
        hidden_frames=tuple(hidden),
        reentry_frames=tuple(returns),
        subjects_per_clip=Counter(len(sample.subjects) for sample in samples),
        subjects=Counter(subject.name for sample in samples for subject in sample.subjects),
        categories=Counter(subject.category for sample in samples for subject in sample.subjects),
        scenes=Counter(str(sample.extra.get("scene", {}).get("name", "unknown")) for sample in samples),
        cameras=Counter(str(camera.get("trajectory", "unknown")) for camera in cameras),
        splits=Counter(sample.split for sample in samples),
        num_drawn=sum(worlds.get("num_drawn", 0) for worlds in accepted),
        num_rendered=sum(worlds.get("num_rendered", 0) for worlds in accepted),
    )


def absences(subject: SubjectTrack) -> list[tuple[int, int]]:
    """List (first hidden frame, first frame seen again) of each absence that begins and ends within the clip."""
    seen = is_seen(subject.visibility)
    changes = (np.flatnonzero(seen[1:] != seen[:-1]) + 1).tolist()
    return [(a, b) for a, b in pairwise(changes) if not seen[a]]


def draw_stats(stats: DatasetStats, path: Path) -> None:
    """Draw the counts as one picture (PNG). Raises ``OutputError`` if it cannot be written."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(13, 10), layout="constrained")
    axes = figure.subplots(2, 3, height_ratios=(1, 2.4))
    upper, lower = axes[0], axes[1]
    upper[0].hist(stats.hidden_frames or [0], bins=24, color="#4477aa")
    upper[0].set(title="Absences", xlabel="hidden frames", ylabel="absences")
    upper[1].hist(stats.reentry_frames or [0], bins=24, color="#228833")
    upper[1].set(title="Returns in the target", xlabel="frames after its start", ylabel="returns")
    per_clip = {str(count): times for count, times in stats.subjects_per_clip.items()}
    for place, counter, title in (
        (upper[2], per_clip, "Subjects a clip"),
        (lower[0], stats.scenes, "Scenes"),
        (lower[1], stats.subjects, "Subjects"),
        (lower[2], stats.cameras, "Cameras"),
    ):
        names = sorted(counter, reverse=True)
        place.barh(names, [counter[name] for name in names], color="#ccbb44")
        place.set_title(title)
        place.tick_params(axis="y", labelsize=7 if len(names) > 20 else 9)
    with file_in_one_piece(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": DRAWN_BY})


def is_drawing(path: Path) -> bool:
    """Tell whether a file is a drawing of ours."""
    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == DRAWN_BY
    except (OSError, ValueError, SyntaxError):  # Pillow calls a broken PNG one of syntax
        return False


def summary(stats: DatasetStats) -> dict[str, Any]:
    """Give the counts as plain data, absences as n, median and range in frames."""
    return {
        "clips": stats.num_clips,
        "frames": stats.num_frames,
        "parts": dict(stats.splits),
        "absences": _spread(stats.hidden_frames),
        "returns_in_target": _spread(stats.reentry_frames),
        "subjects_per_clip": {str(count): times for count, times in sorted(stats.subjects_per_clip.items())},
        "categories": dict(stats.categories.most_common()),
        "subjects": dict(stats.subjects.most_common()),
        "scenes": dict(stats.scenes.most_common()),
        "cameras": dict(stats.cameras.most_common()),
        "worlds_drawn": stats.num_drawn,
        "worlds_rendered": stats.num_rendered,
    }


def _spread(values: tuple[int, ...]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    return {"n": len(values), "min": min(values), "median": float(np.median(values)), "max": max(values)}
