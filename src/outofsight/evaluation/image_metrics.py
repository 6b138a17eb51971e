"""Tier 0 metrics of images: PSNR and SSIM, over images, regions and phases, and loop closure; LPIPS and FVD.

Loop closure: does a place look the same when the camera returns to it? ::

    camera      ──────►───────   ◄──────────   (pan right, pan back)
    frame       0   5   10  15   20  25  30
    pairs           5 ────────────── 25        same pose, and away in between
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from skimage.metrics import structural_similarity

from outofsight.errors import InputError
from outofsight.evaluation.case import PHASE_WORDS, ClipCase, Masks, Phase, Video
from outofsight.evaluation.evidence import (
    Evidence,
    Measured,
    Metric,
    mean_or_undefined,
    metric,
    undefined,
)
from outofsight.geometry.poses import rotation_angle
from outofsight.types import CameraPath

MOST_DB = 100.0
"""PSNR is given as this where it would be more, identical pictures included, so that means stay finite."""

WINDOW_SIGMA_PX, WINDOW_RADIUS_PX = 1.5, 5
"""SSIM's Gaussian window: 11×11."""

DILATION_PX_PER_HEIGHT = 1 / 48
"""Masks are widened by this share of the picture's height, so that a subject's outline counts as subject."""


def frame_psnr(generated: Video, truth: Video) -> NDArray[np.float64]:
    """Give each frame's PSNR in dB [n], values in [0, 1], all three colours together."""
    return psnr_of_error(_squared_difference(generated, truth).mean(axis=(1, 2, 3)))


def psnr_of_error(mean_squared_error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn mean squared errors of values in [0, 1] into decibels, at most ``MOST_DB``."""
    with np.errstate(divide="ignore"):
        return np.minimum(-10 * np.log10(mean_squared_error), MOST_DB)


def region_psnr(generated: Video, truth: Video, region: Masks) -> float | None:
    """Give the PSNR in dB over all pixels of a region [n, h, w] of all frames together; ``None`` if it has none.

    Pixels, not frames, are averaged: a subject of three pixels at the picture's edge must not weigh as much as one
    that fills the frame.
    """
    num_pixels = int(region.sum())
    if num_pixels == 0:
        return None
    error = _squared_difference(generated, truth).mean(axis=-1)
    return float(psnr_of_error(np.asarray(error[region].mean())))


def _squared_difference(a: Video, b: Video) -> NDArray[np.float64]:
    return ((a.astype(np.float64) - b.astype(np.float64)) / 255) ** 2


def frame_ssim(generated: Video, truth: Video) -> NDArray[np.float64]:
    """Give each frame's SSIM [n]: the mean over places and colours, where the 11×11 window lies within the picture.

    Raises ``InputError`` if the picture is smaller than the window.

    Source: Wang et al. 2004 (Gaussian window, σ = 1.5, K = 0.01, 0.03), each colour by itself as is usual for video.
    """
    smallest = 2 * WINDOW_RADIUS_PX + 1
    if min(truth.shape[1:3]) < smallest:
        raise InputError(
            f"SSIM's window needs pictures of at least {smallest}×{smallest}, got {truth.shape[1]}×{truth.shape[2]}"
        )
    return np.array([
        structural_similarity(
            a / 255, b / 255, data_range=1, channel_axis=-1, gaussian_weights=True, sigma=WINDOW_SIGMA_PX,
            use_sample_covariance=False,
        )
        for a, b in zip(generated, truth, strict=True)
    ])  # fmt: skip


def dilated(masks: Masks, radius_px: int) -> Masks:
    """Widen masks [..., h, w] by a square of 2 · radius + 1 pixels."""
    side = 2 * radius_px + 1
    return np.asarray(maximum_filter(masks, size=(side, side), axes=(-2, -1), mode="constant"))


def dilation_radius_px(height_px: int) -> int:
    """Give the number of pixels by which masks of pictures of this height are widened: at least 1."""
    return max(1, round(height_px * DILATION_PX_PER_HEIGHT))


_decibels = partial(metric, source="PSNR, values in [0, 1], at most 100 dB", unit="dB")


@_decibels("psnr", "PSNR of whole target frames, the mean over frames", needs={"truth"})
def psnr(evidence: Evidence) -> Measured:
    return Measured(float(frame_psnr(evidence.generated, evidence.case.truth).mean()))


@metric(
    "ssim", "structural similarity of target frames, the mean over frames",
    "Wang et al. 2004: Gaussian 11×11 window, σ 1.5, each colour by itself", {"truth"},
)  # fmt: skip
def ssim(evidence: Evidence) -> Measured:
    size = min(evidence.case.truth.shape[1:3])
    if size < 2 * WINDOW_RADIUS_PX + 1:
        undefined(f"pictures of {size} pixels are smaller than SSIM's window")
    return Measured(float(frame_ssim(evidence.generated, evidence.case.truth).mean()))


@_decibels("fg_psnr", "PSNR inside the widened subject masks, all pixels together", needs={"masks"})
def foreground_psnr(evidence: Evidence) -> Measured:
    return _psnr_within(_widened_foreground(evidence), evidence, "no subject is seen in the target")


@_decibels("bg_psnr", "PSNR outside the widened subject masks, all pixels together", needs={"masks"})
def background_psnr(evidence: Evidence) -> Measured:
    return _psnr_within(~_widened_foreground(evidence), evidence, "subjects cover every target frame")


def phase_psnr(name: str, phase: Phase, what: str) -> Metric:
    """Make the metric of PSNR over the target frames of one phase."""

    @_decibels(name, what, needs={"visibility"})
    def compute(evidence: Evidence) -> Measured:
        chosen = evidence.phases.target_frames == phase
        values = frame_psnr(evidence.generated[chosen], evidence.case.truth[chosen])
        return mean_or_undefined(values, f"no target frame is {PHASE_WORDS[phase]}")

    return compute


@_decibels(
    "fg_psnr_reentered",
    "PSNR inside the widened masks of subjects that are back, all pixels together",
    needs={"masks", "visibility"},
)
def reentry_foreground_psnr(evidence: Evidence) -> Measured:
    """Without masks of single subjects: of all subjects, on the frames where any is back."""
    split = evidence.case.num_context_frames
    returned = evidence.phases.subjects[:, split:] == Phase.REENTERED
    masks = evidence.case.subject_masks
    if masks is not None:
        region = (masks[:, split:] & returned[..., None, None]).any(axis=0)
    else:
        region = evidence.foreground[split:] & returned.any(axis=0)[:, None, None]
    return _psnr_within(_widened(region), evidence, "no subject comes back in the target")


def _psnr_within(region: Masks, evidence: Evidence, reason: str) -> Measured:
    value = region_psnr(evidence.generated, evidence.case.truth, region)
    return Measured(undefined(reason) if value is None else value)


def _widened_foreground(evidence: Evidence) -> Masks:
    return _widened(evidence.foreground[evidence.case.num_context_frames :])


def _widened(region: Masks) -> Masks:
    return dilated(region, dilation_radius_px(region.shape[-2]))


IMAGE_METRICS = (
    psnr,
    ssim,
    foreground_psnr,
    background_psnr,
    phase_psnr("psnr_visible", Phase.VISIBLE, "PSNR of target frames whose subjects never left"),
    phase_psnr("psnr_hidden", Phase.HIDDEN, "PSNR of target frames in which no subject is seen"),
    phase_psnr("psnr_reentered", Phase.REENTERED, "PSNR of target frames in which a subject is back"),
    reentry_foreground_psnr,
)


SAME_TURN_RAD = np.deg2rad(0.5)
SAME_PLACE_M = 0.05
"""Two frames see the same view if their cameras differ by less: half a pixel at 96 columns and 60°."""

AWAY_TURN_RAD = np.deg2rad(10.0)
AWAY_PLACE_M = 0.5
"""The camera has been away if between the two it differed from the first by this much, in turn or in place."""


def revisits(cameras: CameraPath) -> list[tuple[int, int]]:
    """Pair every frame of a camera path with the nearest pose of an earlier visit: (earlier, later) frames.

    A frame is paired at most once as the later one; with equal poses the earliest frame is taken.
    """
    rotations, places = cameras.world_from_camera[:, :, :3], cameras.world_from_camera[:, :, 3]
    turn = rotation_angle(rotations[:, None].swapaxes(-1, -2) @ rotations[None])  # between every two frames
    place = np.linalg.norm(places[:, None] - places[None], axis=-1)
    nearness = turn / SAME_TURN_RAD + place / SAME_PLACE_M
    away = (turn > AWAY_TURN_RAD) | (place > AWAY_PLACE_M)
    pairs = []
    for later in range(len(cameras)):
        left = np.array([away[earlier, earlier:later].any() for earlier in range(later)], dtype=bool)
        same = (turn[:later, later] < SAME_TURN_RAD) & (place[:later, later] < SAME_PLACE_M) & left
        if same.any():
            pairs.append((int(np.where(same, nearness[:later, later], np.inf).argmin()), later))
    return pairs


_closure = partial(
    metric,
    source="own rule: views within 0.5° and 5 cm of each other, 10° or 0.5 m away in between",
    needs={"masks", "cameras"},
    unit="dB",
)


@_closure(
    "loop_closure", "PSNR of the background between generated frames of the same view, the camera away in between"
)  # fmt: skip
def loop_closure(evidence: Evidence) -> Measured:
    assert evidence.case.cameras is not None
    pairs = revisits(evidence.case.cameras[evidence.case.num_context_frames :])
    if not pairs:
        undefined("the camera does not come back to an earlier view within the target")
    generated = evidence.generated, ~_subjects_anywhere(evidence)
    return _background_psnr(generated, generated, pairs)


@_closure(
    "context_closure", "PSNR of the background between generated frames and the context frames of the same view"
)  # fmt: skip
def context_closure(evidence: Evidence) -> Measured:
    case = evidence.case
    pairs = context_revisits(case)
    if not pairs:
        undefined("the camera does not come back to a view of the context")
    context = case.context, ~_widened(evidence.foreground[: case.num_context_frames])
    return _background_psnr(context, (evidence.generated, ~_subjects_anywhere(evidence)), pairs)


def context_revisits(case: ClipCase) -> list[tuple[int, int]]:
    """Pair target frames with context frames of the same view: (context frame, target frame), each from its 0."""
    assert case.cameras is not None
    split = case.num_context_frames
    pairs = revisits(case.cameras)
    return [(earlier, later - split) for earlier, later in pairs if earlier < split <= later]


def _background_psnr(
    first: tuple[Video, Masks], second: tuple[Video, Masks], pairs: list[tuple[int, int]]
) -> Measured:
    """Compare paired frames of two videos where both show background."""
    (video_a, background_a), (video_b, background_b) = first, second
    frames_a, frames_b = np.array(pairs).T
    common = background_a[frames_a] & background_b[frames_b]
    value = region_psnr(video_a[frames_a], video_b[frames_b], common)
    return Measured(undefined("subjects cover all of the views that return") if value is None else value)


def _subjects_anywhere(evidence: Evidence) -> Masks:
    """Give where subjects truly are or are seen by the detector in the target frames [t, h, w], widened."""
    masks, observed = evidence.foreground[evidence.case.num_context_frames :], evidence.observed
    if observed is not None and observed.masks is not None:
        masks = masks | observed.masks.any(axis=0)
    return _widened(masks)


REVISIT_METRICS = (loop_closure, context_closure)


@metric(
    "lpips", "perceptual distance of target frames, the mean over frames",
    "Zhang et al. 2018, AlexNet as published", {"perceptual", "truth"}, tier=1, higher_is_better=False,
)  # fmt: skip
def lpips(evidence: Evidence) -> Measured:
    assert evidence.networks.perceptual is not None
    return Measured(
        float(evidence.networks.perceptual.distances(evidence.generated, evidence.case.truth).mean())
    )


PERCEPTUAL_METRICS = (lpips,)


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Give the squared Fréchet distance of two sets of features [n, d] and [m, d], each taken for a Gaussian.

    |μ_a − μ_b|² + tr(C_a + C_b − 2 (C_a C_b)^½). With a video network's features (I3D: one vector a clip) this is FVD.
    Fewer clips than features make it too large: compare only sets of equal numbers of clips.

    Raises ``InputError`` if there are fewer than two clips on a side, or features of different networks.

    Source: Heusel et al. 2017; Unterthiner et al. 2019 (FVD).
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"a Fréchet distance needs features [n ≥ 2, d] and [m ≥ 2, d] of one network, got {a.shape}, {b.shape}"
        )
    a, b = a.astype(np.float64), b.astype(np.float64)
    covariance_a, covariance_b = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (a, b))
    root = _square_root(covariance_a)
    shared = np.linalg.eigvalsh(root @ covariance_b @ root)  # those of C_a C_b, and this product is symmetric
    trace = np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(np.maximum(shared, 0)).sum()
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + trace)


def _square_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the symmetric root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
