"""What docs/two_banks.md says is so: its example runs, and its numbers are the code's."""

import re
from pathlib import Path

import torch

from outofsight.memory.banks import archivist, retrieval, tracker
from outofsight.memory.banks.state import BankSettings

PAGE = (Path(__file__).parents[2] / "docs" / "two_banks.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())


def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict = {}
    exec(compile(example, "two_banks.md", "exec"), names)
    assert names["held"]["archive.pinned"].tolist() == [[True, False, False, False]]
    assert not names["held"]["archive.tokens"].any()
    assert not names["banks"].archive.filled.any()


def test_the_numbers_are_the_codes():
    chosen = BankSettings()
    opened = float(torch.tensor(archivist.GATE_BIAS).sigmoid())
    radii = ", ".join(f"{radius:g}" for radius in retrieval.RADII_M)
    for words in (
        f"static to less than {archivist.LEAST_STATIC} on average",
        f"`relevance` ({chosen.relevance})",
        f"`archive_rate` ({chosen.archive_rate})",
        f"({opened:.3f} to begin with)",
        f"halves in {archivist.USE_HALF_LIFE_FRAMES:g} video frames. A new slot",
        f"(more than {tracker.SEEN_AT} of a token)",
        f"`subject_rate` ({chosen.subject_rate})",
        f"a token that more than {tracker.BORN_AT} shows",
        f"the least confident subject below {tracker.FIRST_CONFIDENCE}",
        f"within {tracker.SAME_WITHIN:g} standard deviations with identities alike to {tracker.ALIKE}",
        f"unseen for longest if for more than {tracker.LONG_LOST_FRAMES:g} video frames",
        f"once its confidence was {tracker.CONFIRMED_AT}",
        f"not seen for more than {tracker.TENTATIVE_FRAMES:g} video frames",
        f"confidence begins at {tracker.FIRST_CONFIDENCE} of how fully",
        f"halves in {tracker.HALF_LIFE_FRAMES:g} video frames where",
        f"below {tracker.DEAD_AT} it is forgotten",
        f"{retrieval.DIRECTIONS} directions × {len(retrieval.RADII_M)} distances ({radii} m)",
    ):
        assert words in FLAT, words
    assert tracker.BIRTHS_PER_FRAME == 2  # "at most two a frame"
    assert retrieval.LATENT_STEP_FRAMES == 4  # "⌈video frames / 4⌉"


def test_every_function_to_touch_with_is_on_the_page():
    for name in ("pin", "forget", "edit_place", "edit_subject", "swap_subjects"):
        assert f"`{name}`" in PAGE
