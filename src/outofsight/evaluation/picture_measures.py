"""Tier 0 measures of pictures: PSNR and SSIM, over pictures, regions and phases."""

from outofsight.evaluation.case import Masks
from outofsight.evaluation.evidence import Compute, Evidence, Measure, Measured, gated, mean_or_gate
from outofsight.evaluation.phases import Phase
from outofsight.evaluation.pixels import (
    WINDOW_RADIUS_PX,
    dilated,
    dilation_radius_px,
    frame_psnr,
    frame_ssim,
    region_psnr,
)


def psnr(evidence: Evidence) -> Measured:
    return Measured(float(frame_psnr(evidence.generated, evidence.case.truth).mean()))


def ssim(evidence: Evidence) -> Measured:
    size = min(evidence.case.truth.shape[1:3])
    if size < 2 * WINDOW_RADIUS_PX + 1:
        return gated(f"pictures of {size} pixels are smaller than SSIM's window")
    return Measured(float(frame_ssim(evidence.generated, evidence.case.truth).mean()))


def foreground_psnr(evidence: Evidence) -> Measured:
    value = region_psnr(evidence.generated, evidence.case.truth, _widened_foreground(evidence))
    return gated("no subject is seen in the target") if value is None else Measured(value)


def background_psnr(evidence: Evidence) -> Measured:
    value = region_psnr(evidence.generated, evidence.case.truth, ~_widened_foreground(evidence))
    return gated("subjects cover every target frame") if value is None else Measured(value)


def phase_psnr(phase: Phase) -> Compute:
    """Make the measure of PSNR over the target frames of one phase."""

    def compute(evidence: Evidence) -> Measured:
        chosen = evidence.phases.target_frames == phase
        values = frame_psnr(evidence.generated[chosen], evidence.case.truth[chosen])
        return mean_or_gate(values, f"no target frame is {_WORDS[phase]}")

    return compute


def reentry_foreground_psnr(evidence: Evidence) -> Measured:
    """Compare the pixels of subjects that came back, on the frames after their return.

    Without masks of single subjects: of all subjects, on the frames where any is back.
    """
    split = evidence.case.num_context_frames
    returned = evidence.phases.target_subjects == Phase.REENTERED
    masks = evidence.case.subject_masks
    if masks is not None:
        region = (masks[:, split:] & returned[..., None, None]).any(axis=0)
    else:
        assert evidence.case.foreground is not None
        region = evidence.case.foreground[split:] & returned.any(axis=0)[:, None, None]
    value = region_psnr(evidence.generated, evidence.case.truth, _widened(region))
    return gated("no subject comes back in the target") if value is None else Measured(value)


def _widened_foreground(evidence: Evidence) -> Masks:
    assert evidence.case.foreground is not None
    return _widened(evidence.case.foreground[evidence.case.num_context_frames :])


def _widened(region: Masks) -> Masks:
    return dilated(region, dilation_radius_px(region.shape[-2]))


_WORDS = {Phase.VISIBLE: "visible", Phase.HIDDEN: "hidden", Phase.REENTERED: "re-entered"}


def _decibels(name: str, needs: set[str], what: str, compute: Compute) -> Measure:
    return Measure(
        name=name,
        tier=0,
        unit="dB",
        higher_is_better=True,
        needs=frozenset(needs),
        what=what,
        source="PSNR, values in [0, 1], at most 100 dB",
        compute=compute,
    )


PICTURE_MEASURES = (
    _decibels("psnr", set(), "PSNR of whole target frames, the mean over frames", psnr),
    Measure(
        name="ssim",
        tier=0,
        unit="",
        higher_is_better=True,
        needs=frozenset(),
        what="structural similarity of target frames, the mean over frames",
        source="Wang et al. 2004: Gaussian 11×11 window, σ 1.5, each colour by itself",
        compute=ssim,
    ),
    _decibels(
        "fg_psnr", {"masks"}, "PSNR inside the widened subject masks, all pixels together", foreground_psnr
    ),
    _decibels(
        "bg_psnr", {"masks"}, "PSNR outside the widened subject masks, all pixels together", background_psnr
    ),
    _decibels(
        "psnr_visible",
        {"visibility"},
        "PSNR of target frames whose subjects never left",
        phase_psnr(Phase.VISIBLE),
    ),
    _decibels(
        "psnr_hidden",
        {"visibility"},
        "PSNR of target frames in which no subject is seen",
        phase_psnr(Phase.HIDDEN),
    ),
    _decibels(
        "psnr_reentered",
        {"visibility"},
        "PSNR of target frames in which a subject is back",
        phase_psnr(Phase.REENTERED),
    ),
    _decibels(
        "fg_psnr_reentered",
        {"masks", "visibility"},
        "PSNR inside the widened masks of subjects that are back, all pixels together",
        reentry_foreground_psnr,
    ),
)
