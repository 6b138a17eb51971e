"""Published networks by name or folder: tiny random ones of the real classes, loaded by the real code."""

import json

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTModel,
    YolosConfig,
    YolosForObjectDetection,
)

from outofsight.errors import CheckpointError, InputError
from outofsight.perception.borrowed import Preparation, Source, preparation_of
from outofsight.perception.named import feature_network, perceptual_network, subject_detector
from outofsight.perception.network import RecogniserNetwork, RecogniserSize
from outofsight.perception.object_detectors import ObjectDetector, box_in_px
from outofsight.perception.recogniser import Recogniser

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
PREPARED = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5], "crop_size": {"height": 32, "width": 32},
            "size": {"shortest_edge": 32}}  # fmt: skip


def frames(number=2, height=24, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


def saved(network, folder, preparation=PREPARED):
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    return network.eval()


def tower(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "dinov2":
            return Dinov2Model(Dinov2Config(**SMALL, image_size=32, patch_size=8, mlp_ratio=2))
        if name == "vit":
            config = ViTConfig(**SMALL, intermediate_size=32, image_size=32, patch_size=8)
            return ViTModel(config, add_pooling_layer=False)
        config = CLIPVisionConfig(
            **SMALL, intermediate_size=32, image_size=32, patch_size=8, projection_dim=12
        )
        return (CLIPVisionModelWithProjection if name == "clip" else CLIPVisionModel)(config)


@pytest.mark.parametrize("name", ["clip", "clip_vision", "dinov2", "vit"])
def test_patches_are_the_last_hidden_state_without_the_class_token(name, tmp_path):
    network = saved(tower(name), tmp_path)
    video = frames()
    told = feature_network(tmp_path).features(video)
    mean, deviation = (torch.tensor(PREPARED[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    planes = torch.from_numpy(video).permute(0, 3, 1, 2).float() / 255
    planes = torch.nn.functional.interpolate(planes, (32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        expected = network(pixel_values=(planes - mean) / deviation)
    tokens = expected.last_hidden_state
    np.testing.assert_allclose(told.patches.reshape(2, 16, 16), tokens[:, 1:].numpy(), atol=1e-5)
    picture = expected.image_embeds if name == "clip" else tokens[:, 0]
    np.testing.assert_allclose(told.pictures, picture.numpy(), atol=1e-5)
    assert told.pictures.shape == (2, 12 if name == "clip" else 16)


def test_a_tower_without_its_preparation_is_refused(tmp_path):
    tower("dinov2").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"expected preprocessor_config\.json in the folder"):
        feature_network(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}')
    with pytest.raises(InputError, match="expected image_mean, image_std and size"):
        feature_network(tmp_path)


def test_missing_weights_are_never_random_ones(tmp_path, recwarn):
    saved(tower("clip_vision"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"architectures": ["CLIPVisionModelWithProjection"], "projection_dim": 12}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="1 weights are missing, such as visual_projection"):
        feature_network(tmp_path)


def test_another_kind_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="model_type 'bert' is not an image tower"):
        feature_network(tmp_path)
    with pytest.raises(InputError, match="model_type 'bert' is not a detector"):
        subject_detector(tmp_path)


@pytest.mark.parametrize(
    ("load", "name", "place"),
    [
        (feature_network, "clip", "openai/clip-vit-base-patch16"),
        (feature_network, "dinov2", "facebook/dinov2-base"),
        (feature_network, "nobody/nothing", "nobody/nothing"),
        (subject_detector, "yolos", "hustvl/yolos-small"),
    ],
)
def test_a_network_that_is_not_there_is_one_line_that_helps(load, name, place, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(
        f"{'detector' if load is subject_detector else 'feature network'} {name!r} is not there"
    )
    assert f"hf download {place} --local-dir FOLDER" in message
    assert "\n" not in message


def test_our_own_folder_is_both(tmp_path):
    size = RecogniserSize(kinds=("cow",), widths=(8, 8, 8, 8), num_blocks=1)
    Recogniser(RecogniserNetwork(size)).save_pretrained(tmp_path)
    assert isinstance(feature_network(tmp_path), Recogniser)
    assert isinstance(subject_detector(tmp_path), Recogniser)


def tiny_yolos(folder):
    config = YolosConfig(
        **SMALL, intermediate_size=32, image_size=[32, 48], patch_size=8, num_detection_tokens=5,
        id2label={0: "chair", 1: "dog", 2: "person"}, label2id={"chair": 0, "dog": 1, "person": 2},
        use_mid_position_embeddings=False,
    )  # fmt: skip
    size = {"shortest_edge": 32, "longest_edge": 48}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return saved(YolosForObjectDetection(config), folder, {**PREPARED, "size": size})


def test_a_detector_gives_what_its_network_says(tmp_path):
    network = tiny_yolos(tmp_path)
    detector = subject_detector(tmp_path)
    assert isinstance(detector, ObjectDetector)
    assert detector.subjects == [1, 2]
    detector.least_score = 0.0
    video = frames(2, 64, 96)
    found = detector.detect(video)
    with torch.no_grad():
        told = network(pixel_values=detector.preparation.prepared(video, torch.device("cpu")))
    scores, classes = told.logits.softmax(-1)[..., :3].max(-1)
    for frame in range(2):
        best = sorted(
            (float(s) for s, c in zip(scores[frame], classes[frame], strict=True) if c > 0), reverse=True
        )
        assert [one.score for one in found[frame]] == pytest.approx(best, abs=1e-5)
    assert all(
        one.kind in ("dog", "person") and one.mask is None and one.identity is None
        for f in found
        for one in f
    )
    detector.least_score = 1.1
    assert detector.detect(video) == [[], []]


def test_detections_by_hand():
    preparation = Preparation(mean=(0, 0, 0), deviation=(1, 1, 1), shortest_px=32)
    words = {0: "chair", 1: "dog"}
    detector = ObjectDetector(torch.nn.Identity(), preparation, words=words, has_nothing=True)
    logits = torch.tensor([[0.0, 5, 0], [5.0, 0, 0], [0.0, 9, 0], [0.0, 0, 5]])  # dog, chair, dog, nothing
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.5] * 4, [0.1, 0.5, 0.4, 1.0], [0.5] * 4])
    surest, other = detector._found(logits, boxes, 100, 200)
    assert (surest.kind, other.kind) == ("dog", "dog")
    np.testing.assert_allclose(surest.box_px, [0, 0, 60, 100], atol=1e-4)  # cut at the left edge
    np.testing.assert_allclose(other.box_px, [80, 30, 120, 70], atol=1e-4)
    np.testing.assert_array_equal(box_in_px(torch.tensor([0.5, 0.5, 2.0, 2.0]), 10, 20), [0, 0, 20, 10])


@pytest.mark.parametrize(
    ("told", "size"),
    [
        ({"shortest_edge": 32, "longest_edge": 48}, (24, 48)),  # 20×40 would be 32×64: too long
        ({"shortest_edge": 32}, (32, 64)),
        ({"height": 30, "width": 50}, (30, 50)),
        (16, (16, 32)),
    ],
)
def test_a_detectors_size_of_picture(told, size, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**PREPARED, "size": told}))
    source = Source(place=str(tmp_path), what="detector", name="toy")
    assert preparation_of(source, keeps_aspect=True).size_for(20, 40) == size


@pytest.mark.skipif(
    transformers.utils.is_torchvision_available(), reason="torchvision is installed: LPIPS can be had"
)
def test_lpips_names_what_it_needs():
    with pytest.raises(InputError, match=r"needs .*torchvision: pip install"):
        perceptual_network("alex")
    with pytest.raises(InputError, match="known are alex"):
        perceptual_network("nothing")
