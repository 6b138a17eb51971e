"""What was retrieved, counted by hand, and drawn."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from outofsight.errors import InputError
from outofsight.evaluation.retrieval import (
    bubble_plot,
    draw_bubbles,
    draw_timeline,
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
    figure = Figure()
    draw_bubbles(figure, frequencies(retrieval), "title")
    (bubbles,) = figure.axes[0].collections
    sizes = dict(
        zip(map(tuple, bubbles.get_offsets().astype(int).tolist()), bubbles.get_sizes(), strict=True)
    )
    assert sizes.keys() == {(0, 0), (0, 1), (1, 1)}  # slice, layer
    assert sizes[0, 1] == pytest.approx(sizes[0, 0] / 2)
    drawn = ElementTree.fromstring(bubble_plot(frequencies(retrieval), "a <model>"))
    assert "a <model>" in {text.text for text in drawn.iter(f"{SVG}text")}


def test_the_timeline_has_a_cell_for_every_frame_and_slice_and_a_bar_of_phases(retrieval):
    figure = Figure()
    draw_timeline(figure, frequencies(retrieval), [1, 1, 2], "title")
    cells, bar = (axes.images[0] for axes in figure.axes)
    np.testing.assert_array_equal(cells.get_array(), [[1, 0.5], [0, 0.5]])
    colours = [to_hex(colour) for colour in bar.get_array()[0].tolist()]
    assert colours == ["#9aa0a6", "#9aa0a6", "#d9822b"]
    assert timeline(frequencies(retrieval), [], "no phases").count("<svg") == 1
