"""Which clip belongs to which part of a data set, decided by its number alone, so that a set can grow."""

from dataclasses import dataclass
from typing import Literal

from outofsight.errors import DatasetError

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
