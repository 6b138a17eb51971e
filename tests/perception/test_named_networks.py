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
    YolosImageProcessor,
)
from transformers.models.detr.modeling_detr import DetrObjectDetectionOutput

from outofsight.errors import CheckpointError, InputError
from outofsight.perception.named import feature_network, perceptual_network, subject_detector
from outofsight.perception.network import RecogniserNetwork, RecogniserSize
from outofsight.perception.published import ObjectDetector
from outofsight.perception.recogniser import Recogniser

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
PREPARED = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5], "crop_size": {"height": 32, "width": 32},
            "size": {"shortest_edge": 32}}  # fmt: skip


def frames(number=2, height=24, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


def saved(network, folder, preparation=PREPARED):
    network.save_pretrained(folder)
    if network.config.model_type.startswith("clip"):
        preparation = {**preparation, "image_processor_type": "CLIPImageProcessor"}
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
    reported = feature_network(tmp_path).features(video)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    whole = {"size": {"height": 32, "width": 32}, "do_center_crop": False}  # patches cover the picture
    with torch.no_grad():
        expected = network(**processor(images=list(video), return_tensors="pt", **whole))
    tokens = expected.last_hidden_state
    np.testing.assert_allclose(reported.patches.reshape(2, 16, 16), tokens[:, 1:].numpy(), atol=1e-5)
    picture = expected.image_embeds if name == "clip" else tokens[:, 0]
    np.testing.assert_allclose(reported.pictures, picture.numpy(), atol=1e-5)
    assert reported.pictures.shape == (2, 12 if name == "clip" else 16)


def test_a_tower_without_its_preparation_is_refused(tmp_path):
    tower("dinov2").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"expected preprocessor_config\.json in the folder"):
        feature_network(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "Nonsense"}')
    with pytest.raises(InputError, match="expected an image processor in preprocessor_config"):
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


@pytest.mark.parametrize("load", [subject_detector, feature_network])
def test_a_name_that_is_mistyped_is_said_before_the_hub_is_asked(load):
    with pytest.raises(
        InputError, match=r"'minni': no such folder, and none of mini, .*a hub id is OWNER/NAME"
    ):
        load("minni")


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
    prepared = detector.processor(images=list(video), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        reported = network(pixel_values=prepared)
    scores, classes = reported.logits.softmax(-1)[..., :3].max(-1)
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


class ByHand(torch.nn.Module):
    """Says of every frame: a dog, a chair, a dog at the left edge, and nothing."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixel_values):
        logits = torch.tensor([[0.0, 5, 0], [5.0, 0, 0], [0.0, 9, 0], [0.0, 0, 5]])
        boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.5] * 4, [0.1, 0.5, 0.4, 1.0], [0.5] * 4])
        number = len(pixel_values)
        return DetrObjectDetectionOutput(
            logits=logits.expand(number, -1, -1), pred_boxes=boxes.expand(number, -1, -1)
        )


def test_detections_by_hand():
    detector = ObjectDetector(
        ByHand(),
        YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 48}),
        {0: "chair", 1: "dog"},
        batch=2,
    )
    reported = detector.detect(frames(3, 100, 200))
    assert len(reported) == 3
    for surest, other in reported:
        assert (surest.kind, other.kind) == ("dog", "dog")
        np.testing.assert_allclose(surest.box_px, [0, 0, 60, 100], atol=1e-4)  # cut at the left edge
        np.testing.assert_allclose(other.box_px, [80, 30, 120, 70], atol=1e-4)


@pytest.mark.skipif(
    transformers.utils.is_torchvision_available(), reason="torchvision is installed: LPIPS can be had"
)
def test_lpips_names_what_it_needs():
    with pytest.raises(InputError, match=r"needs .*torchvision: pip install"):
        perceptual_network("alex")
    with pytest.raises(InputError, match="known are alex"):
        perceptual_network("nothing")
