"""Contact sheets: the layout by hand, and one real picture."""

import numpy as np
import pytest

from outofsight.errors import WorldError
from outofsight.worlds.subjects import subject_catalogue
from outofsight.worlds.subjects.sheet import Sitter, catalogue_sitters, contact_sheet, gait_sitters


def test_the_catalogue_sheet_shows_every_kind_once() -> None:
    sitters = catalogue_sitters(look_seed=2)
    assert [sitter.kind for sitter in sitters] == list(subject_catalogue())
    assert {sitter.look_seed for sitter in sitters} == {2}


def test_a_stride_is_divided_evenly() -> None:
    """A robot dog's walking stride is 0.56 m: eight phases are 7 cm apart, after three strides."""
    sitters = gait_sitters(["robot_dog"], "walk", 8)
    np.testing.assert_allclose([sitter.distance_m for sitter in sitters], 3 * 0.56 + 0.07 * np.arange(8))


def test_a_kind_without_legs_has_no_stride() -> None:
    with pytest.raises(WorldError, match="bus has no legs"):
        gait_sitters(["bus"], "walk", 8)


@pytest.mark.slow
def test_a_tile_shows_its_sitter_between_floor_and_sky() -> None:
    """An orange monk against a grey floor and a blue sky; three tiles in two columns leave one white."""
    sitters = [Sitter(kind="monk", look_seed=0), Sitter(kind="bus"), Sitter(kind="cat", pace="idle")]
    sheet = contact_sheet(sitters, columns=2, tile_px=(40, 48))
    assert sheet.shape == (96, 80, 3)
    assert (sheet[48:, 40:] == 255).all()
    monk = sheet[:48, :40].astype(int)
    orange = (monk[..., 0] > monk[..., 1] + 40) & (monk[..., 0] > monk[..., 2] + 60)
    assert 60 < orange.sum() < 700
    assert (monk[0, :, 2] > monk[0, :, 0]).all()
