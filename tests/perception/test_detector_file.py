"""A detector in one file: boxes land where they belong, whatever form the network gives them in."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from outofsight.errors import CheckpointError, InputError
from outofsight.evaluation.metrics import instrument_names
from outofsight.perception.detector_file import DetectorFile, read_boxes
from outofsight.perception.named import subject_detector

WORDS = ("chair", "dog", "person")
SIDE = 64
BOXES = np.array([[8, 20, 24, 44], [9, 20, 25, 44], [40, 16, 60, 40], [0, 0, 64, 10]], np.float32)
"""In the square: a dog, nearly the same dog, a person, and a chair; the first two rows of a 48×32 picture lie at 11."""
SCORES = np.array([[0, 0.9, 0.1], [0, 0.8, 0], [0.2, 0, 0.7], [0.95, 0, 0]], np.float32)


def centred() -> np.ndarray:
    return np.concatenate([(BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]], axis=1)


class Told(torch.nn.Module):
    """Says the same of every picture: a wide one has its dog, an all-black one nothing."""

    def __init__(self):
        super().__init__()
        reported = np.concatenate([centred(), SCORES], axis=1).T[None]
        self.register_buffer("told", torch.from_numpy(np.ascontiguousarray(reported)))

    def forward(self, pixels):
        seen = (pixels.amax(dim=(1, 2, 3)) > 0.9).float()[:, None, None]
        return torch.cat((self.told[:, :4].expand(len(pixels), -1, -1), self.told[:, 4:] * seen), dim=1)


@pytest.fixture
def exported(tmp_path):
    path = tmp_path / "tiny.pt2"
    torch.export.save(torch.export.export(Told(), (torch.zeros(1, 3, SIDE, SIDE),)), path)
    path.with_suffix(".names").write_text("\n".join(WORDS))
    return path


def test_boxes_are_those_of_the_picture(exported):
    """A picture of 96×48 fills the square's width, in rows 16 to 48: a pixel of the square is 1.5 of its own."""
    frames = np.zeros((2, 48, 96, 3), np.uint8)
    frames[0] = 255
    detector = subject_detector(exported)
    assert isinstance(detector, DetectorFile)
    white, black = detector.detect(frames)
    assert black == []
    assert [(one.kind, round(one.score, 4)) for one in white] == [("dog", 0.9), ("person", 0.7)]
    assert white[0].box_px == pytest.approx(np.array([12, 6, 36, 42]))
    assert white[1].box_px == pytest.approx(np.array([60, 0, 90, 36]))


FORMS = {
    "a score for each word": [np.concatenate([centred(), SCORES], axis=1).T[None]],
    "and whether anything is there": [
        np.concatenate([centred(), np.full((4, 1), 0.5, np.float32), 2 * SCORES], axis=1)[None]
    ],
    "no two on one subject": [
        np.concatenate([BOXES, SCORES.max(axis=1)[:, None], SCORES.argmax(axis=1)[:, None]], axis=1)[None]
    ],
    "shares of the square": [BOXES[None] / SIDE, SCORES[None]],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    boxes, scores, kinds = read_boxes(FORMS[form], len(WORDS), SIDE, "tiny")
    assert boxes == pytest.approx(BOXES, abs=1e-5)
    assert scores == pytest.approx(SCORES.max(axis=1), abs=1e-6)
    assert kinds.tolist() == [1, 1, 2, 0]


def test_other_forms_are_named():
    with pytest.raises(InputError, match=r"tiny: gives \[1, 9, 4\] for 3 words; expected \[1, 7, n\]"):
        read_boxes([np.zeros((1, 9, 4), np.float32)], 3, SIDE, "tiny")


def test_onnx_is_run_by_onnxruntime(tmp_path, monkeypatch):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"a network")
    path.with_suffix(".names").write_text("\n".join(WORDS))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        subject_detector(path)
    taken = SimpleNamespace(name="images", shape=["batch", 3, "height", "width"])

    def session(place, providers):
        def run(names, given):
            assert given["images"].shape == (1, 3, 640, 640)
            return [FORMS["shares of the square"][0], FORMS["shares of the square"][1]]

        return SimpleNamespace(get_inputs=lambda: [taken], run=run)

    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=session))
    (found,) = subject_detector(path).detect(np.zeros((1, 64, 64, 3), np.uint8))
    assert [one.kind for one in found] == ["dog", "person"]
    assert found[0].box_px == pytest.approx(BOXES[0])


def test_a_real_onnx_network_finds_what_its_export_finds(exported, tmp_path):
    """The same network by onnxruntime as by torch; installed where `onnxruntime` and `onnx` are."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "real.onnx"
    path.write_bytes(_told_in_onnx(onnx).SerializeToString())
    path.with_suffix(".names").write_text("\n".join(WORDS))
    frames = np.zeros((2, 48, 96, 3), np.uint8)
    frames[0] = 255
    for given, wanted in zip(
        subject_detector(path).detect(frames), subject_detector(exported).detect(frames), strict=True
    ):
        assert [(one.kind, one.score) for one in given] == [(one.kind, one.score) for one in wanted]
        assert all(np.array_equal(one.box_px, two.box_px) for one, two in zip(given, wanted, strict=True))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="could not be read as an ONNX network") as caught:
        subject_detector(path)
    assert "\n" not in str(caught.value)


def _told_in_onnx(onnx):
    """Write ``Told`` as an ONNX network: boxes as they are, scores times whether anything is bright."""
    boxes, scores = np.split(np.concatenate([centred(), SCORES], axis=1).T[None], [4], axis=1)
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    held = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        for name, value in (("boxes", boxes), ("scores", scores), ("bright", np.array(0.9)))
    ]
    nodes = [
        make.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        make.make_node("Greater", ["most", "bright"], ["is_seen"]),
        make.make_node("Cast", ["is_seen"], ["seen"], to=kind),
        make.make_node("Mul", ["scores", "seen"], ["shown"]),
        make.make_node("Concat", ["boxes", "shown"], ["told"], axis=1),
    ]
    graph = make.make_graph(
        nodes, "told", [make.make_tensor_value_info("images", kind, [1, 3, SIDE, SIDE])],
        [make.make_tensor_value_info("told", kind, [1, 4 + len(WORDS), len(BOXES)])], held,
    )  # fmt: skip
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)


def test_words_with_a_byte_order_mark(exported):
    exported.with_suffix(".names").write_bytes("\r\n".join(WORDS).encode("utf-8-sig"))
    detector = subject_detector(exported)
    assert isinstance(detector, DetectorFile)
    assert detector.words == list(WORDS)


def test_what_is_missing_or_damaged_is_one_line(exported, tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        subject_detector(tmp_path / "none.pt2")
    before = instrument_names(str(exported), None, None).identity
    exported.with_suffix(".names").write_text("chair\ndog\ncat\n")
    assert instrument_names(str(exported), None, None).identity != before
    exported.with_suffix(".names").unlink()
    with pytest.raises(InputError, match=r"expected its words in .*tiny\.names, one a line"):
        subject_detector(exported)
    exported.with_suffix(".names").write_text("dog\n")
    exported.write_bytes(exported.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="could not be read") as caught:
        subject_detector(exported)
    assert "\n" not in str(caught.value)
