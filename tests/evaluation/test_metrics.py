"""All metrics together: each baseline is caught by the metric meant for it, and nothing is a silent zero."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clips import hand_made_clip
from outofsight.data.sample import write_sample
from outofsight.errors import InputError
from outofsight.evaluation.association import gallery_of, observe, observe_truth, references_of
from outofsight.evaluation.baselines import camera_warped, frozen, nearest_view, swapped, vanished
from outofsight.evaluation.evidence import Measured, Metric, Networks, observed_from_masks
from outofsight.evaluation.metrics import METRICS, RememberedFeatures, measure_clip, remembering
from square_world import BLUE, DRIFT, GENTLE, BlockMeans, ColourDetector, square_case

CASE = square_case()
DONOR = square_case(GENTLE, DRIFT[:16] + 8, colour=BLUE, name="donor", kind="blue square")


def judged(case, video) -> dict[str, float | None]:
    """Measure a video as an evaluation does: detector, tracker, features, a gallery of all clips' subjects."""
    detector = ColourDetector()
    contexts = {c.name: observe_truth(detector, c)[: c.num_context_frames] for c in (case, DONOR)}
    truth = observe_truth(detector, case)
    measured = measure_clip(
        case,
        video,
        observed=observe(detector, video, references_of(case, truth)),
        truth_observed=truth,
        features=BlockMeans(),
        gallery=gallery_of(contexts),
    )
    assert all((m.value is None) != (m.reason is None) for m in measured.values())
    return {name: m.value for name, m in measured.items()}


TRUE = judged(CASE, CASE.truth)


def test_the_truth_is_the_upper_bound():
    assert (TRUE["psnr"], TRUE["fg_psnr"], TRUE["fg_psnr_reentered"]) == (100, 100, 100)
    assert TRUE["ssim"] == pytest.approx(1)
    for name in (
        "return_gate",
        "detection_rate",
        "detection_rate_reentered",
        "identity_accuracy",
        "kind_accuracy",
    ):
        assert TRUE[name] == 1, name
    for name in ("reentry_time_error", "phantom_rate"):
        assert TRUE[name] == 0, name
    assert TRUE["trajectory_error"] == pytest.approx(0, abs=0.002)


def test_frozen_is_caught_by_relative_motion_and_the_return_gate():
    score = judged(CASE, frozen(CASE))
    assert score["return_gate"] == 0
    assert score["psnr"] < TRUE["psnr"] / 2
    seen_last = square_case(GENTLE, np.linspace(18, 0, 16))
    still = judged(seen_last, frozen(seen_last))
    assert still["relative_motion"] == pytest.approx(0, abs=1e-9)
    assert still["detection_rate"] == 1  # it is there, and dead
    assert judged(seen_last, seen_last.truth)["relative_motion"] == pytest.approx(1, abs=0.05)


def test_vanished_is_caught_by_the_return_gate_and_the_detection_rate():
    score = judged(CASE, vanished(CASE))
    assert score["return_gate"] == 0
    assert score["detection_rate"] == 0
    assert score["dsc_gt_missing_0"] == 0
    assert score["reentry_time_error"] is None
    assert score["bg_psnr"] > 40  # what it does not lack is there


def test_swapped_is_caught_by_identity_and_dsc():
    score = judged(CASE, swapped(CASE, DONOR))
    assert score["return_gate"] == 1  # somebody comes back
    assert score["detection_rate_reentered"] == 1
    assert score["identity_accuracy"] == 0
    assert score["kind_accuracy"] == 0
    assert score["dsc_gt"] < TRUE["dsc_gt"] - 0.5
    assert score["dsc_ctx"] < TRUE["dsc_ctx"] - 0.5


def test_camera_warped_and_nearest_view_lack_what_happened_out_of_sight():
    assert judged(CASE, camera_warped(CASE))["return_gate"] == 0
    nearest = judged(CASE, nearest_view(CASE))
    assert nearest["return_gate"] == 1
    assert nearest["trajectory_error"] > 0.05  # it comes back where it was
    assert nearest["reentry_time_error"] > 0


def test_without_annotation_what_needs_none_is_measured():
    bare = replace(CASE, foreground=None, subject_masks=None, visibility=None, cameras=None, subject_names=())
    measured = measure_clip(bare, CASE.truth)
    assert {name for name, m in measured.items() if m.value is not None} == {"psnr", "ssim", "camera_error"}
    assert "no subject masks" in measured["fg_psnr"].reason
    assert "annotated" in measured["psnr_hidden"].reason


def test_subjects_that_the_annotation_knows_together_are_judged_together():
    """Two are annotated by their visibility, one mask holds both, as in the released HM-World."""
    case = replace(
        CASE, subject_masks=None, visibility=np.repeat(CASE.visibility, 2, axis=0), subject_names=("a", "b")
    )
    true, gone = judged(case, case.truth), judged(case, vanished(case))
    assert (true["return_gate"], true["detection_rate"]) == (1, 1)
    assert (gone["return_gate"], gone["detection_rate"]) == (0, 0)
    assert true["dsc_gt"] > 0.8
    assert true["identity_accuracy"] is None
    two = observed_from_masks(np.repeat(CASE.subject_masks[:, 16:], 2, axis=0))
    with pytest.raises(
        InputError, match="2 subjects are observed in the generated video and 1 in the true one"
    ):
        measure_clip(case, case.truth, observed=two)


def test_measures_are_chosen_by_name_and_keep_the_reports_order():
    measured = measure_clip(CASE, CASE.truth, names=["ssim", "psnr"])
    assert list(measured) == ["psnr", "ssim"]
    with pytest.raises(InputError, match=r"unknown metrics beauty; known are psnr, ssim"):
        measure_clip(CASE, CASE.truth, names=["beauty"])


def test_every_measure_says_what_it_is():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.tier in (0, 1)
        assert metric.what
        assert metric.source


def test_a_need_must_be_known():
    with pytest.raises(InputError, match="known needs"):
        replace(METRICS["psnr"], needs=frozenset({"luck"}))


@pytest.mark.parametrize("parts", [(None, None), (1.0, "why"), (float("nan"), None)])
def test_a_measure_gives_a_finite_value_or_a_reason(parts):
    with pytest.raises(InputError):
        Measured(*parts)


def test_a_video_or_an_observation_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="16 frames of 32×48"):
        measure_clip(CASE, CASE.truth[1:])
    short = observed_from_masks(CASE.subject_masks[:, :3])
    with pytest.raises(InputError, match=r"1 subjects in 16 frames.*generated"):
        measure_clip(CASE, CASE.truth, observed=short)
    with pytest.raises(InputError, match="context and truth"):
        measure_clip(CASE, CASE.truth, truth_observed=short)


def test_features_are_computed_once_for_all_measures():
    network = BlockMeans()
    measure_clip(CASE, CASE.truth, features=network, observed=observed_from_masks(CASE.subject_masks[:, 16:]))
    assert (
        network.num_frames == 32 + 32 + 8
    )  # context and target: whole, cropped, and those that WRBench samples


def test_remembered_features_outlive_a_clip_if_made_outside():
    network = BlockMeans()
    shared = remembering(Networks.all(network))
    assert shared.appearance is shared.subjects
    for video in (CASE.truth, frozen(CASE)):
        measure_clip(CASE, video, features=shared)
    assert network.num_frames == 48 + 48 + 2 * 8


def test_memory_of_features_is_bounded():
    network = BlockMeans()
    memory = RememberedFeatures(network, most_videos=2)
    for shift in (0, 1, 2, 0):
        memory.features(CASE.truth[shift : shift + 4])
    assert network.num_frames == 16  # the first was forgotten
    memory.features(CASE.truth[2:6])
    assert network.num_frames == 16


def test_a_measure_can_be_added_by_a_user():
    brightness = Metric(
        name="brightness", tier=0, unit="", higher_is_better=None, needs=frozenset(), what="mean value", source="own",
        compute=lambda evidence: Measured(float(evidence.generated.mean())),
    )  # fmt: skip
    METRICS["brightness"] = brightness
    try:
        assert measure_clip(CASE, CASE.truth, names=["brightness"])["brightness"].value == CASE.truth.mean()
    finally:
        del METRICS["brightness"]


TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    write_sample(tmp_path / "clips" / "test" / "clip_000000", hand_made_clip())
    monkeypatch.chdir(tmp_path)
    known = dict(METRICS)
    names = {"detector": ColourDetector(), "network": BlockMeans()}
    try:
        for block in BLOCKS:
            exec(compile(block, "docs/metrics.md", "exec"), names)
            names["generated"] = names["case"].truth
        assert "brightness" in METRICS
    finally:
        METRICS.clear()
        METRICS.update(known)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == list(known)
    assert "no feature network is given" in "".join(printed)


def test_the_documentation_names_every_measure():
    short = {f"decay_{n}": f"`_{n}`" for n in (5, 10, 20, 50)}
    missing = [name for name in METRICS if f"`{name}`" not in TEXT and short.get(name, "?") not in TEXT]
    assert not missing
