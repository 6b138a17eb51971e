"""What was retrieved, counted by hand, and drawn."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from outofsight.errors import InputError
from outofsight.evaluation.retrieval import (
    bubble_plot,
    frequencies,
    load_retrieval,
    mean_frequencies,
    timeline,
)
from outofsight.sampling.continuation import Retrieval

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def retrieval():
    """One step, two layers; four latent frames, the last two the target; slices of two latent frames; k = 1.

    In layer 0 both target frames take slice 0; in layer 1 the first takes slice 0, the second slice 1.
    """
    slices = torch.tensor([[[[1], [1], [0], [0]], [[1], [1], [0], [1]]]])
    return Retrieval(slices=slices, frames_per_slice=2, num_context_latent_frames=2)


def test_shares_by_hand(retrieval):
    counts = frequencies(retrieval)
    np.testing.assert_array_equal(counts.by_layer, [[1, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(counts.by_frame, [[1, 0], [0.5, 0.5]])
    assert counts.num_context_slices == 1


def test_saved_and_read_back(retrieval, tmp_path):
    retrieval.save(tmp_path / "r.safetensors")
    again = load_retrieval(tmp_path / "r.safetensors")
    assert torch.equal(again.slices, retrieval.slices)
    assert (again.frames_per_slice, again.num_context_latent_frames) == (2, 2)
    (tmp_path / "r.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="expected a record of retrieval"):
        load_retrieval(tmp_path / "r.safetensors")


def test_mean_over_clips(retrieval):
    first = frequencies(retrieval)
    other = frequencies(
        Retrieval(slices=torch.ones_like(retrieval.slices), frames_per_slice=2, num_context_latent_frames=2)
    )
    np.testing.assert_array_equal(mean_frequencies([first, other]).by_layer, [[0.5, 0.5], [0.25, 0.75]])
    longer = Retrieval(
        slices=torch.zeros(1, 2, 8, 1, dtype=torch.long), frames_per_slice=2, num_context_latent_frames=2
    )
    with pytest.raises(InputError, match="one length and one model"):
        mean_frequencies([first, frequencies(longer)])


def test_a_bubbles_area_tells_the_share(retrieval):
    circles = ElementTree.fromstring(bubble_plot(frequencies(retrieval), "a <model>")).findall(
        f".//{SVG}circle"
    )
    radii = {circle[0].text: float(circle.get("r")) for circle in circles}
    assert set(radii) == {"slice 0, layer 0: 100%", "slice 0, layer 1: 50%", "slice 1, layer 1: 50%"}
    assert radii["slice 0, layer 1: 50%"] ** 2 == pytest.approx(
        radii["slice 0, layer 0: 100%"] ** 2 / 2, rel=0.03
    )


def test_the_timeline_has_a_cell_for_every_frame_and_slice_and_a_bar_of_phases(retrieval):
    picture = ElementTree.fromstring(timeline(frequencies(retrieval), [1, 1, 2], "title"))
    cells = [rect for rect in picture.findall(f".//{SVG}rect") if len(rect)]
    shades = {cell[0].text: cell.get("fill") for cell in cells}
    assert len(cells) == 4
    assert shades["target latent frame 0, slice 1: 0%"] == "#f7f8fa"
    assert shades["target latent frame 0, slice 0: 100%"] == "#1f5499"
    bars = [rect.get("fill") for rect in picture.findall(f".//{SVG}rect") if not len(rect) and rect.get("x")]
    assert bars == ["#9aa0a6", "#9aa0a6", "#d9822b"]
