"""The centre crop: as the processors of transformers make it, and boxes through it."""

import numpy as np
import pytest
from transformers import CLIPImageProcessor

from outofsight.perception.seeing import CentreCrop, centre_crop_of


@pytest.mark.parametrize("size", [(48, 83), (83, 48), (40, 40), (20, 31)])
def test_it_is_what_the_published_processor_shows(size):
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 24},
        crop_size={"height": 16, "width": 16},
        do_normalize=False,
        do_rescale=False,
    )
    theirs = processor(images=list(frames), return_tensors="np")["pixel_values"]
    ours = CentreCrop(short_px=24, side_px=16).frames(frames)
    assert ours.shape == (2, 16, 16, 3)
    assert abs(ours.transpose(0, 3, 1, 2).astype(int) - theirs.astype(int)).max() <= 1


def test_boxes_go_through_the_crop():
    crop = CentreCrop(short_px=24, side_px=16)  # 48×80 → 24×40 → rows 4 to 20, columns 12 to 28
    boxes = np.array([[30.0, 10, 50, 40], [0, 0, 20, 48], [0, 0, 80, 48]])
    expected = np.array([[3, 1, 13, 16], [np.nan] * 4, [0, 0, 16, 16]])
    assert crop.boxes(boxes, 48, 80) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(crop.boxes(np.full((1, 4), np.nan), 48, 80)).all()


def test_a_network_without_one_shows_its_shorter_side():
    frames = np.zeros((1, 4, 10, 3), dtype=np.uint8)
    assert centre_crop_of(object()).frames(frames).shape == (1, 4, 4, 3)
