"""Which clips are judged: those of a data set, or the videos of a folder by themselves."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.data.dataset import SPLITS, SampleEntry, natural_order, open_dataset
from outofsight.data.video import read_video
from outofsight.errors import DatasetError, InputError
from outofsight.evaluation.case import ClipCase, case_from_clip
from outofsight.files import read_json
from outofsight.geometry.pose_files import read_poses
from outofsight.types import CameraPath

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")

MOST_DONORS = 5
"""Samples tried, one after another, to lend the *swapped* baseline a subject that is seen whole and large."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one clip gives: the case to judge by, its caption, and for models that are given where subjects are, the
    instance ids of its pixels, uint8 [n, h, w]. ``None``: not annotated."""

    case: ClipCase
    caption: str | None = None
    instances: NDArray[np.uint8] | None = None

    def asked_of_models(self) -> tuple[CameraPath, CameraPath, str]:
        """Give the cameras of context and target, and the caption. Raises ``InputError`` if any is unknown."""
        case = self.case
        if case.cameras is None or self.caption is None:
            raise InputError("a model needs the clip's cameras and caption, and there are none")
        split = case.num_context_frames
        return case.cameras[:split], case.cameras[split:], self.caption


@dataclass(frozen=True, kw_only=True)
class EvalClip:
    """One clip to judge on, read when it is its turn.

    ``group``: why it is a test clip. ``entry``: a data set's sample; or ``truth``: a video that is the truth by
    itself, of which the first ``num_context_frames`` are the context; or ``cameras``: a pose file beside the video of a
    context, by which so many frames follow that nobody knows. ``donors``: samples with another kind of subject,
    one of which lends it to the *swapped* baseline; the first that can is taken.
    """

    name: str
    group: str
    entry: SampleEntry | None = None
    truth: Path | None = None
    num_context_frames: int = 0
    cameras: Path | None = None
    donors: tuple[SampleEntry, ...] = ()

    def read(self) -> Sample:
        """Read the clip. Raises ``DatasetError``, ``VideoError`` or ``CameraError`` naming the damaged file."""
        if self.entry is not None:
            clip = self.entry.read()
            instances = clip.masks if clip.masks_are_instances else None
            return Sample(case=case_from_clip(clip), caption=clip.caption, instances=instances)
        if self.cameras is not None:
            return Sample(case=_case_without_truth(self.name, self.cameras))
        assert self.truth is not None
        return Sample(case=_case_of_video(self.truth, self.num_context_frames))

    @property
    def has_context(self) -> bool:
        """Whether the context's frames are frames before the target, or only stand for missing ones."""
        return self.entry is not None or self.cameras is not None or self.num_context_frames > 0

    @property
    def identity(self) -> str:
        """Tell the clip's content from another of the same name: a digest of its annotation, or of the video."""
        if self.cameras is not None:
            paths = [self.cameras, self.cameras.with_suffix(".mp4")]
        elif self.entry is not None:
            own = self.entry.folder / "annotation.json"
            paths = [own if own.is_file() else self.entry.folder / "camera.json"]
        else:
            assert self.truth is not None
            paths = [self.truth]
        return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def dataset_clips(folder: Path, split: str | None, limit: int | None = None) -> tuple[EvalClip, ...]:
    """Find a data set's clips to judge on: of the part named, else of its test part.

    ``folder`` may be one part of a data set, or a folder without parts. ``limit``: only the first so many.

    Raises:
        DatasetError: there is no such folder or part, or no sample in it.
        InputError: the folder has parts, none of them is ``test``, and none is named.
    """
    parts = [name for name in SPLITS if (folder / name).is_dir()]
    if split is None and parts:
        if "test" not in parts:
            raise InputError(
                f"{folder}: has the parts {', '.join(parts)} and no test part; name one by --split"
            )
        split = "test"
    entries = open_dataset(folder, split).entries
    if not parts and split is None and folder.name in SPLITS:
        split = folder.name
    records = [_annotation(entry) for entry in entries]
    return tuple(
        EvalClip(
            name=entry.name, group=_group(records[index], split), entry=entry, donors=_donors(entries, records, index)
        )
        for index, entry in enumerate(entries[:limit])
    )  # fmt: skip


def video_clips(folder: Path, num_context_frames: int = 0, limit: int | None = None) -> tuple[EvalClip, ...]:
    """Take the videos of a folder as the truth, each for a clip of its name.
    Raises ``InputError`` if there is no such folder, no video in it, or two of one name."""
    if not folder.is_dir():
        raise InputError(f"--truth: expected a folder of videos, found none at {folder}; check the path")
    found = videos_of(folder)
    if not found:
        raise InputError(f"{folder}: expected videos ({', '.join(VIDEO_SUFFIXES)}) in the folder, found none")
    return tuple(
        EvalClip(name=name, group="all", truth=path, num_context_frames=num_context_frames)
        for name, path in list(found.items())[:limit]
    )


def context_clips(folder: Path, limit: int | None = None) -> tuple[EvalClip, ...]:
    """Take contexts of which nobody knows what follows: NAME.mp4, and NAME.json with the cameras of all frames.
    Raises ``InputError`` if there is no such folder, or no pose file in it."""
    if not folder.is_dir():
        raise InputError(f"--contexts: expected a folder of contexts, found none at {folder}; check the path")
    found = sorted(folder.glob("*.json"), key=lambda path: natural_order(path.name))
    if not found:
        raise InputError(
            f"{folder}: expected contexts, NAME.mp4 with cameras NAME.json, found none; outofsight exchange read "
            "writes them"
        )
    return tuple(EvalClip(name=path.stem, group="all", cameras=path) for path in found[:limit])


def videos_of(folder: Path) -> dict[str, Path]:
    """Find a folder's videos by their names without the ending, in natural order.
    Raises ``InputError`` if two videos differ in their ending alone."""
    paths = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.name[0] != "."),
        key=lambda path: natural_order(path.name),
    )
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise InputError(
                f"{folder}: {found[path.stem].name} and {path.name} are both for clip {path.stem}; keep one"
            )
        found[path.stem] = path
    return found


def groups_of(clips: Sequence[EvalClip]) -> dict[str, list[str]]:
    """Give the names of the clips of each group, in the order in which the groups first come."""
    groups: dict[str, list[str]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip.name)
    return groups


def _annotation(entry: SampleEntry) -> dict[str, Any]:
    """Read what our annotation says of a clip; empty for data of others."""
    if not entry.is_ours:
        return {}
    record = read_json(entry.folder / "annotation.json")
    if not isinstance(record, dict):
        raise DatasetError(
            f"{entry.folder / 'annotation.json'}: expected an annotation, got something damaged"
        )
    return record


def _group(record: dict[str, Any], split: str | None) -> str:
    """Say why a clip is a test clip, where its annotation tells."""
    held = record.get("extra", {}).get("held_out")
    if held and held.get("scene"):
        return "held-out scene"
    if held and held.get("subjects"):
        return "held-out subject"
    return "unseen seed" if held and split == "test" else split or "all"


def _donors(
    entries: Sequence[SampleEntry], records: Sequence[dict[str, Any]], index: int
) -> tuple[SampleEntry, ...]:
    """Take the next samples, going round, whose first subject is of another kind."""
    own = _first_kind(records[index])
    around = [(index + step) % len(entries) for step in range(1, len(entries))]
    others = (entries[other] for other in around if own is None or _first_kind(records[other]) != own)
    return tuple(islice(others, MOST_DONORS))


def _first_kind(record: dict[str, Any]) -> str | None:
    subjects = record.get("subjects", [])
    return subjects[0].get("name") if subjects else None


def _case_of_video(path: Path, num_context_frames: int) -> ClipCase:
    """Make a case of a video alone. Without context its first frame stands for one; no metric looks at it then,
    since all that do need an annotation.

    Raises ``InputError`` if the video has no frames left after the context.
    """
    frames, fps = read_video(path)
    if len(frames) <= num_context_frames:
        raise InputError(
            f"{path}: has {len(frames)} frames, of which {num_context_frames} are said to be context; nothing is left"
        )
    context = frames[: max(num_context_frames, 1)]
    return ClipCase(name=path.stem, context=context, truth=frames[num_context_frames:], fps=fps)


def _case_without_truth(name: str, path: Path) -> ClipCase:
    """Make a case of a context and the cameras of context and target.

    Raises:
        VideoError, CameraError: either is missing or damaged. InputError: there are not more cameras than frames.
    """
    context, fps = read_video(path.with_suffix(".mp4"))
    cameras = read_poses(path)
    follow = len(cameras) - len(context)
    if follow < 1:
        raise InputError(
            f"{path}: has {len(cameras)} poses for {len(context)} frames of context; expected poses of the frames that "
            "follow, too"
        )
    unknown = np.repeat(context[-1:], follow, axis=0)
    return ClipCase(name=name, context=context, truth=unknown, fps=fps, cameras=cameras, has_truth=False)
