"""Tiles by hand: where they lie, what they weigh, how they blend."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outofsight.codec.latent_tiling import LatentTiling, TileSpan, blend_tiles, plan_spans, plan_tiles
from outofsight.errors import InputError

TILINGS = st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda pair: (max(pair), min(pair)))


def test_the_picture_of_the_docstring():
    first, second = plan_spans(10, tile=6, stride=4)
    assert (first, second) == (TileSpan(0, 6, 0, 2), TileSpan(4, 10, 2, 0))
    assert first.weights(1).tolist() == [1, 1, 1, 1, 1, 0.5]
    assert second.weights(1).tolist() == [0.5, 1, 1, 1, 1, 1]


def test_the_published_tiles_of_480_by_832():
    tiles = plan_tiles((60, 104), LatentTiling())
    assert len(tiles) == 9
    assert sorted({(tile.rows.start, tile.rows.stop) for tile in tiles}) == [(0, 30), (15, 45), (30, 60)]
    assert sorted({(tile.columns.start, tile.columns.stop) for tile in tiles}) == [
        (0, 52),
        (26, 78),
        (52, 104),
    ]


def test_a_tile_that_would_add_nothing_is_left_out():
    # the tile from 4 reaches the border at 12, so none starts at 8, though 8 < 12
    assert [(span.start, span.stop) for span in plan_spans(12, tile=8, stride=4)] == [(0, 8), (4, 12)]
    # one pixel more, and the last tile is narrower but still wider than its ramp
    assert [(span.start, span.stop) for span in plan_spans(13, tile=8, stride=4)] == [
        (0, 8),
        (4, 12),
        (8, 13),
    ]


def test_ramps_that_are_finer_than_latent_pixels():
    assert TileSpan(2, 4, ramp_before=1).weights(4).tolist() == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]


def test_where_two_ramps_meet_the_lower_counts():
    assert TileSpan(0, 4, ramp_before=4, ramp_after=4).weights(1).tolist() == [0.25, 0.5, 0.5, 0.25]


def test_a_corner_weighs_as_its_lower_side():
    tile = plan_tiles((10, 10), LatentTiling(tile=(6, 6), stride=(4, 4)))[0]
    assert tile.weights(1)[-1].tolist() == [0.5] * 6
    assert tile.weights(1)[0].tolist() == [1, 1, 1, 1, 1, 0.5]


def test_two_tiles_blend_by_hand():
    tiles = plan_tiles((1, 4), LatentTiling(tile=(1, 3), stride=(1, 1)))
    values = iter([6.0, 12.0])  # weights 1 ½ ½ . and . ½ ½ 1, where the ramps are 2 wide: 1, 1, ½ and ½, 1, 1
    blended = blend_tiles(tiles, lambda tile: torch.full((1, 3), next(values)), factor=1)
    # pixel 1: (1·6 + ½·12) / 1½ = 8; pixel 2: (½·6 + 1·12) / 1½ = 10
    assert blended.tolist() == [[6, 8, 10, 12]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), TILINGS, TILINGS, st.integers(1, 3))
def test_blended_cuts_give_the_picture_back(height, width, rows, columns, factor):
    tiling = LatentTiling(tile=(rows[0], columns[0]), stride=(rows[1], columns[1]))
    picture = torch.rand(2, height * factor, width * factor)
    tiles = plan_tiles((height, width), tiling)
    blended = blend_tiles(tiles, lambda tile: tile.cut(picture, factor), factor)
    torch.testing.assert_close(blended, picture)
    assert all(tile.weights(factor).min() > 0 for tile in tiles)


@pytest.mark.parametrize(("tile", "stride"), [((4, 4), (5, 4)), ((4, 4), (4, 0)), ((0, 4), (0, 4))])
def test_a_tiling_that_leaves_gaps_is_refused(tile, stride):
    with pytest.raises(InputError, match="1 ≤ stride ≤ tile"):
        LatentTiling(tile=tile, stride=stride)
