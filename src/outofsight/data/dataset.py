"""A folder of samples, ours or the released HM-World's, as a sequence of ``Clip``,
and which clip belongs to which part of it, decided by its number alone, so that a set can grow.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar, overload

from outofsight.data.hm_world import is_hm_world_sample, read_hm_world_sample
from outofsight.data.sample import read_sample
from outofsight.errors import DatasetError, InputError
from outofsight.files import read_text
from outofsight.types import Clip

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class SampleEntry:
    """Where one sample lies. ``split``: ``None`` where the folder has none; ``caption``: of HM-World's samples."""

    folder: Path
    is_ours: bool
    split: str | None = None
    caption: str | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    def read(self) -> Clip:
        """Read the clip. Raises ``DatasetError``, ``VideoError`` or ``CameraError`` naming the damaged file."""
        if self.is_ours:
            return read_sample(self.folder)
        if self.caption is None:
            raise DatasetError(
                f"{self.folder}: no caption; expected caption.txt in the sample or in the folder above it"
            )
        return read_hm_world_sample(self.folder, self.caption)


class Dataset(Sequence[Clip]):
    """The samples of a folder, read one at a time as they are asked for."""

    def __init__(self, folder: Path, entries: Sequence[SampleEntry]) -> None:
        self.folder, self.entries = folder, tuple(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | slice) -> "Clip | Dataset":
        if isinstance(index, slice):
            return Dataset(self.folder, self.entries[index])
        return self.entries[index].read()

    def __iter__(self) -> Iterator[Clip]:
        return (entry.read() for entry in self.entries)


def open_dataset(folder: Path | str, split: str | None = None) -> Dataset:
    """Find the samples of a folder: with or without split folders, ours or HM-World's, or one sample by itself.

    ``split``: only that part. Raises ``DatasetError`` if there is no such folder, split or sample.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: expected a folder of samples, found none; check the path")
    if split is not None and split not in SPLITS:
        raise DatasetError(f"unknown split {split!r}; known are {', '.join(SPLITS)}")
    parts = [name for name in SPLITS if (folder / name).is_dir() and split in (None, name)]
    if split is not None and not parts:
        raise DatasetError(f"{folder}: has no {split} part")
    entries = [entry for name in parts for entry in _entries(folder / name, name)]
    entries = entries or _entries(folder, None)
    if not entries and (alone := _entry(folder, None)):
        entries = [alone]
    if not entries:
        raise DatasetError(f"{folder}: holds no samples: folders with cond.mp4, tgt.mp4 and camera.json")
    return Dataset(folder, entries)


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Sort key by which ``clip_2`` comes before ``clip_10``."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name)]


def _entry(folder: Path, split: str | None) -> SampleEntry | None:
    if (folder / "annotation.json").is_file():
        return SampleEntry(folder=folder, is_ours=True, split=split)
    if is_hm_world_sample(folder):
        own = folder / "caption.txt"
        caption = read_text(own).strip() if own.is_file() else None
        return SampleEntry(folder=folder, is_ours=False, split=split, caption=caption)
    return None


def _entries(folder: Path, split: str | None) -> list[SampleEntry]:
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [_entry(path, split) for path in sorted(folders, key=lambda path: natural_order(path.name))]
    entries = [entry for entry in found if entry is not None]
    shared = folder / "caption.txt"
    if shared.is_file() and any(not entry.is_ours for entry in entries):
        captions = read_captions(shared, [entry.name for entry in entries])
        entries = [replace(entry, caption=captions[entry.name]) for entry in entries]
    return entries


def read_captions(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Read a shared caption.txt: ``name<tab or colon>caption`` lines, or one caption a line in the samples' order.

    Raises ``DatasetError`` if the lines are neither.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    known = set(names)
    named = {}
    for line in lines:
        head, mark, rest = line.partition("\t") if "\t" in line else line.partition(":")
        if mark and head.strip() in known:
            named[head.strip()] = rest.strip()
    if len(named) == len(lines) and known <= set(named):
        return named
    if len(lines) == len(names):
        return dict(zip(names, lines, strict=True))
    raise DatasetError(
        f"{path}: {len(lines)} captions for {len(names)} samples, {len(named)} of them named; "
        f"expected one line a sample, in order, or name<tab>caption"
    )


@contextmanager
def may_be_skipped() -> Iterator[None]:
    """Say of a clip that cannot be read how the work can go on without it."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{error}; --skip-broken leaves such clips out") from error


class Readable(Protocol):
    def read(self) -> object: ...


Entry = TypeVar("Entry", bound=Readable)


def whole_entries(entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Read every sample once; give those that can be read, and what is wrong with the others.

    Raises:
        DatasetError: none can be read.
    """
    whole, broken = [], []
    for entry in entries:
        try:
            entry.read()
            whole.append(entry)
        except InputError as error:
            broken.append(" ".join(str(error).split()))
    if not whole:
        raise DatasetError(f"none of {len(entries)} samples can be read; the first: {broken[0]}")
    return tuple(whole), tuple(broken)


GOLDEN_SHARE = 0.6180339887498949  # spreads any run of numbers evenly over [0, 1)
Casting = Literal["known", "held_out_scene", "held_out_subjects"]
CASTINGS: tuple[Casting, ...] = ("held_out_scene", "held_out_subjects", "known")


@dataclass(frozen=True, kw_only=True)
class SplitShares:
    """Shares of validation and test; the rest is training."""

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test > 1:
            raise DatasetError(
                f"split shares: expected ≥ 0 and together ≤ 1, got {self.validation} validation and {self.test} test"
            )


@dataclass(frozen=True, kw_only=True)
class ClipJob:
    """One clip to be made: its number, its place, and who may appear in it."""

    index: int
    split: str
    casting: Casting
    seed: int

    @property
    def name(self) -> str:
        return f"clip_{self.index:06d}"


def clip_job(index: int, seed: int, shares: SplitShares) -> ClipJob:
    """Give the n-th clip of the data set with this seed. Held-out scenes and subjects are cast in the test part alone.

    A third of the test part plays in held-out scenes, a third has held-out subjects, a third is as in training.
    """
    place = (index + 0.5) * GOLDEN_SHARE % 1.0
    if place >= shares.validation + shares.test:
        split, casting = "train", "known"
    elif place >= shares.test:
        split, casting = "validation", "known"
    else:
        split, casting = "test", CASTINGS[min(int(place / shares.test * 3), 2)]
    return ClipJob(index=index, split=split, casting=casting, seed=seed * 1_000_003 + index)  # type: ignore[arg-type]
