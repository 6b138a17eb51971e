"""The recogniser's network and folder, and its detections by masks that are set by hand."""

import json

import numpy as np
import pytest
import torch

from outofsight.errors import CheckpointError, InputError
from outofsight.perception.kinds import KINDS
from outofsight.perception.network import RecogniserNetwork, RecogniserSize, Seen, num_parameters, pooled
from outofsight.perception.recogniser import DetectionRule, Recogniser, load_network, who_and_what
from outofsight.worlds.subjects import subject_catalogue

TINY = RecogniserSize(
    kinds=("cow", "van"), widths=(8, 8, 16, 16), num_blocks=1, identity_dim=6, picture_dim=5
)


def tiny_network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RecogniserNetwork(TINY).eval()


def frames(number=2, height=33, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


class Told(torch.nn.Module):
    """A network that says what it was told: white pixels are subjects; red patches are cows, others vans."""

    size = TINY

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Linear(1, 1)

    def forward(self, pictures):
        light = pictures.float()
        mask = light.amax(dim=-1) > 0
        patches = torch.nn.functional.avg_pool2d(light.permute(0, 3, 1, 2), 4)
        red, green = patches[:, 0], patches[:, 1]
        identities = torch.cat([patches, patches.new_zeros(len(patches), 3, *patches.shape[2:])], dim=1)
        return Seen(
            mask_logits=torch.where(mask, 4.0, -4.0), kind_logits=torch.stack([red, green], dim=1),
            identities=identities, pictures=torch.ones(len(pictures), 5),
        )  # fmt: skip


def test_the_kinds_are_those_of_our_worlds():
    assert tuple(subject_catalogue()) == KINDS


def test_the_default_size_is_what_the_recipe_says():
    assert num_parameters(RecogniserNetwork(RecogniserSize())) < 1_000_000


@pytest.mark.parametrize(("height", "width"), [(16, 16), (33, 50), (64, 96), (17, 31)])
def test_any_size_of_picture_gives_masks_of_its_size_and_patches_of_four(height, width):
    seen = tiny_network()(torch.from_numpy(frames(2, height, width)))
    patches = (-(-height // 4), -(-width // 4))
    assert seen.mask_logits.shape == (2, height, width)
    assert seen.kind_logits.shape == (2, 2, *patches)
    assert seen.identities.shape == (2, 6, *patches)
    torch.testing.assert_close(seen.pictures.norm(dim=-1), torch.ones(2))


def test_a_picture_that_is_too_small_is_refused():
    with pytest.raises(InputError, match="at least 16×16 pixels, got 8×40"):
        tiny_network()(torch.zeros(1, 8, 40, 3, dtype=torch.uint8))


def test_frames_are_seen_by_themselves_however_many_at_once():
    recogniser = Recogniser(tiny_network(), frames_at_once=2)
    one = Recogniser(tiny_network(), frames_at_once=5)
    video = frames(5)
    np.testing.assert_allclose(recogniser.probabilities(video), one.probabilities(video), atol=1e-6)
    np.testing.assert_allclose(recogniser.features(video).patches, one.features(video).patches, atol=1e-5)


def test_features_are_of_length_one():
    reported = Recogniser(tiny_network()).features(frames(3))
    assert reported.patches.shape == (3, 9, 13, 6)
    assert reported.pictures.shape == (3, 5)
    np.testing.assert_allclose(np.linalg.norm(reported.patches, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(reported.pictures, axis=-1), 1, rtol=1e-5)


def test_pooling_weights_a_patch_by_the_pixels_that_are_covered():
    dense = torch.tensor([[[[1.0, 5.0]]]])  # two patches of 4×4 pixels
    mask = torch.zeros(1, 4, 8, dtype=torch.bool)
    mask[0, 0, :] = True  # four pixels of each
    mask[0, 1, :4] = True  # and four more of the first: (8·1 + 4·5) / 12
    assert pooled(dense, mask).item() == pytest.approx(28 / 12)
    assert pooled(dense, torch.zeros_like(mask)).item() == 0


def test_pooling_knows_a_last_patch_that_is_cut():
    dense = torch.tensor([[[[1.0, 5.0]]]])
    mask = torch.ones(1, 4, 5, dtype=torch.bool)  # 16 pixels of the first patch, 4 of the second
    assert pooled(dense, mask).item() == pytest.approx((16 * 1 + 4 * 5) / 20)


def test_detections_by_hand():
    video = np.zeros((2, 32, 48, 3), dtype=np.uint8)
    video[0, 8:16, 4:16] = (200, 0, 0)
    video[0, 20:28, 24:44] = (0, 100, 0)
    video[0, 2:4, 40:42] = (0, 0, 255)  # four pixels: too small
    found = Recogniser(Told()).detect(video)
    assert found[1] == []
    van, cow = found[0]
    assert (van.kind, cow.kind) == ("van", "cow")
    assert van.box_px.tolist() == [24, 20, 44, 28]
    assert cow.box_px.tolist() == [4, 8, 16, 16]
    np.testing.assert_array_equal(cow.mask, video[0, :, :, 0] > 0)
    np.testing.assert_allclose(cow.identity, [1, 0, 0, 0, 0, 0])
    assert cow.score == pytest.approx(1 / (1 + np.exp(-4)))


def test_one_behind_a_pole_is_one():
    video = np.zeros((1, 40, 48, 3), dtype=np.uint8)
    video[0, 8:24, 8:28] = 255
    video[0, :, 16:18] = 0
    (found,) = Recogniser(Told(), DetectionRule(gap_share=0.05)).detect(video)[0]
    assert found.box_px.tolist() == [8, 8, 28, 24]
    assert len(Recogniser(Told(), DetectionRule(gap_share=0.0)).detect(video)[0]) == 2


def test_what_is_under_a_given_mask():
    video = np.zeros((2, 32, 48, 3), dtype=np.uint8)
    video[0, 8:16, 4:16] = (0, 80, 0)
    masks = video.any(axis=-1)
    identities, kinds = Recogniser(Told()).identities_under(video, masks)
    np.testing.assert_allclose(identities[0], [0, 1, 0, 0, 0, 0])
    assert kinds[0].argmax() == 1
    assert np.isnan(identities[1]).all()
    assert np.isnan(kinds[1]).all()


def test_who_and_what_takes_one_frame_for_many_masks():
    seen = tiny_network()(torch.from_numpy(frames(1)))
    masks = torch.zeros(2, 33, 50, dtype=torch.bool)
    masks[0, :9, :9], masks[1, 20:, 20:] = True, True
    both, _ = who_and_what(seen, masks)
    second, _ = who_and_what(seen, masks[1:])
    torch.testing.assert_close(both[1:], second)


@pytest.mark.parametrize("bad", [frames().astype(np.float32), frames()[0], frames()[..., :2], frames()[:0]])
def test_what_is_not_video_is_refused(bad):
    with pytest.raises(InputError, match="recogniser: expected uint8 frames"):
        Recogniser(tiny_network()).detect(bad)


def test_a_folder_gives_back_the_same_network(tmp_path):
    network = tiny_network()
    Recogniser(network).save_pretrained(tmp_path)
    back = Recogniser.from_pretrained(tmp_path)
    assert back.kinds == ("cow", "van")
    assert not any(parameter.requires_grad for parameter in back.network.parameters())
    video = frames()
    np.testing.assert_array_equal(back.probabilities(video), Recogniser(network).probabilities(video))


def test_half_precision_files_are_computed_in_full(tmp_path):
    Recogniser(tiny_network()).save_pretrained(tmp_path, torch.float16)
    back = load_network(tmp_path)
    assert back.stem.weight.dtype == torch.float32
    np.testing.assert_allclose(
        Recogniser(back).probabilities(frames()),
        Recogniser(tiny_network()).probabilities(frames()),
        atol=2e-3,
    )


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"found no config\.json"):
        Recogniser.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKLWan"}')
    with pytest.raises(CheckpointError, match="expected a recogniser's configuration"):
        Recogniser.from_pretrained(tmp_path)


def test_damage_is_named(tmp_path):
    Recogniser(tiny_network()).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"identity_dim": 7}))
    with pytest.raises(CheckpointError, match="do not make a recogniser"):
        Recogniser.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="could not read them"):
        Recogniser.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"widths": (8, 8, 8)},
        {"widths": (8, 8, 8, 12)},
        {"kinds": ()},
        {"kinds": ("cow", "cow")},
        {"identity_dim": 0},
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(InputError):
        RecogniserSize(**wrong)
