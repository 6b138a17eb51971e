"""A camera that only turns: each frame's rotation and the focal length, from what pairs of frames both show.

Two frames of such a camera differ by the homography K Rⱼᵀ Rᵢ K⁻¹. The rotations are chained from frame to frame, for
several focal lengths, and the best chain is adjusted together with its focal length over all pairs (Gauss-Newton on
robust residuals). Source: Szeliski and Shum 1997, Brown and Lowe 2007.
"""

from dataclasses import dataclass, replace
from math import radians

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from outofsight.camera_estimation.matches import Matches, Pair
from outofsight.camera_estimation.verdict import nearest_rotation
from outofsight.types import Intrinsics

FIRST_FOVS_DEG = (30.0, 45.0, 60.0, 75.0, 90.0)
MOST_POINTS_A_PAIR = 80
HUBER_PX = 1.0
FITS_PX, USUAL_WIDTH_PX = 2.0, 832
"""How near a match must be to agree; in smaller pictures, so much nearer."""
CHAIN_STEPS, ADJUSTING_STEPS, TRYING_STEPS = 8, 15, 4
DAMPING = 1e-6


def strictness(width_px: int) -> float:
    """Give what a pixel of the usual width counts in a picture this wide; features are placed no better than so."""
    return min(max(width_px / USUAL_WIDTH_PX, 0.5), 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Turning:
    """``rotations`` [n, 3, 3], world from camera, the first the identity; pixels are of the video's size.

    ``median_px``: of the residuals between frames far apart in time; ``fitting_share``: of those within ``FITS_PX``;
    ``worst_px``: median residual of the worst twentieth of the pairs far apart, where a camera moves for a while;
    ``fov_deviation_deg``: one standard deviation of the field of view (0 where it was known); ``joined``: how many
    frames a chain of matches joins to the first.
    """

    rotations: NDArray[np.float64]
    focal_px: float
    median_px: float
    fitting_share: float
    worst_px: float
    fov_deviation_deg: float
    joined: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Points:
    """Matches of all pairs, one below the other: frames [m], and pixels from the principal point [m, 2]."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    first_px: NDArray[np.float64]
    second_px: NDArray[np.float64]


def estimate_turning(matches: Matches, known: Intrinsics | None, part: int | None = None) -> Turning:
    """Estimate rotations, and the focal length unless it is ``known``. ``part`` 0 or 1: by half of the points."""
    points = _gathered(matches, known, part)
    width = matches.width_px
    if known is not None:
        rotations, focal = _chained(points, matches.num_frames, known.fx_px), known.fx_px
    else:
        focals = [width / (2 * np.tan(radians(fov) / 2)) for fov in FIRST_FOVS_DEG]
        tried = [_tried(points, matches.num_frames, focal) for focal in focals]
        _, rotations, focal = min(tried, key=lambda one: one[0])
    rotations, focal, deviation = _adjusted(points, rotations, focal, known is None, ADJUSTING_STEPS)
    errors = _lengths(_residuals(points, rotations, focal))
    gaps = points.second - points.first
    far = gaps >= (np.median(gaps) if len(gaps) else 0)  # a camera that moves shows it over time
    errors, pairs = errors[far], (points.first * matches.num_frames + points.second)[far]
    medians = [float(np.median(errors[pairs == pair])) for pair in np.unique(pairs)]
    lens = Intrinsics.from_fov(width_px=width, height_px=matches.height_px, fov_x_rad=1.0)
    wide = replace(lens, fx_px=focal * np.exp(-deviation)).fov_x_rad - replace(lens, fx_px=focal).fov_x_rad
    return Turning(
        rotations=np.einsum("ji,njk->nik", rotations[0], rotations),
        focal_px=float(focal),
        median_px=float(np.median(errors)) if len(errors) else float("inf"),
        fitting_share=float((errors < FITS_PX * strictness(width)).mean()) if len(errors) else 0.0,
        worst_px=float(np.percentile(medians, 95)) if medians else float("inf"),
        fov_deviation_deg=float(np.degrees(wide)),
        joined=_joined(matches),
    )


def _gathered(matches: Matches, known: Intrinsics | None, part: int | None) -> _Points:
    middle = (matches.width_px / 2, matches.height_px / 2) if known is None else (known.cx_px, known.cy_px)
    chosen = [_spread(pair, part) for pair in matches.pairs]
    frames = np.array([(pair.first, pair.second) for pair in matches.pairs], np.int64).reshape(-1, 2)
    first, second = np.repeat(frames, [len(one) for one, _ in chosen], axis=0).T
    empty = np.zeros((0, 2))
    return _Points(
        first=first,
        second=second,
        first_px=np.concatenate([empty, *(one - middle for one, _ in chosen)]),
        second_px=np.concatenate([empty, *(other - middle for _, other in chosen)]),
    )


def _spread(pair: Pair, part: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choose a pair's points evenly across the picture."""
    order = np.argsort(pair.first_px[:, 0], kind="stable")
    order = order if part is None else order[part::2]
    order = order[np.linspace(0, len(order) - 1, min(len(order), MOST_POINTS_A_PAIR)).astype(int)]
    return pair.first_px[order], pair.second_px[order]


def _joined(matches: Matches) -> int:
    """Count the frames that a chain of matched pairs joins to frame 0."""
    reached = {0}
    for _ in range(matches.num_frames):
        before = len(reached)
        for pair in matches.pairs:
            if pair.first in reached or pair.second in reached:
                reached |= {pair.first, pair.second}
        if len(reached) == before:
            break
    return len(reached)


def _rays(pixels: NDArray[np.float64], focal: float) -> NDArray[np.float64]:
    return np.column_stack([pixels / focal, np.ones(len(pixels))])


def _chained(points: _Points, num_frames: int, focal: float) -> NDArray[np.float64]:
    """Chain rotations along pairs, each by a robust fit of the rays (Kabsch), the nearest frames first."""
    rotations = np.tile(np.eye(3), (num_frames, 1, 1))
    place = {0}
    gap = points.second - points.first
    for number in range(1, num_frames):
        here = (points.second == number) & np.isin(points.first, list(place))
        if not here.any():
            rotations[number] = rotations[number - 1]
            continue
        here &= gap == gap[here].min()
        before = int(points.first[here][0])
        turn = _fitted(_rays(points.first_px[here], focal), _rays(points.second_px[here], focal), focal)
        rotations[number] = rotations[before] @ turn
        place.add(number)
    return rotations


def _fitted(first: NDArray[np.float64], second: NDArray[np.float64], focal: float) -> NDArray[np.float64]:
    """Find the rotation that takes rays of the second frame to those of the first."""
    one = first / np.linalg.norm(first, axis=1, keepdims=True)
    other = second / np.linalg.norm(second, axis=1, keepdims=True)
    weights, turn = np.ones(len(one)), np.eye(3)
    for _ in range(CHAIN_STEPS):
        turn = nearest_rotation((one * weights[:, None]).T @ other)
        errors = np.linalg.norm(one - other @ turn.T, axis=1) * focal
        weights = 1 / np.maximum(errors / HUBER_PX, 1) ** 2
    return turn


def _tried(points: _Points, num_frames: int, focal: float) -> tuple[float, NDArray[np.float64], float]:
    rotations = _chained(points, num_frames, focal)
    rotations, focal, _ = _adjusted(points, rotations, focal, True, TRYING_STEPS)
    errors = _lengths(_residuals(points, rotations, focal))
    cost = float(np.minimum(errors, 3 * FITS_PX).mean()) if len(errors) else np.inf
    return cost, rotations, focal


def _residuals(points: _Points, rotations: NDArray[np.float64], focal: float) -> NDArray[np.float64]:
    seen = _seen(points, rotations, focal)
    return focal * seen[:, :2] / np.maximum(seen[:, 2:], 0.05) - points.second_px


def _seen(points: _Points, rotations: NDArray[np.float64], focal: float) -> NDArray[np.float64]:
    """Turn the first frames' rays into the second frames' axes."""
    world = np.einsum("mij,mj->mi", rotations[points.first], _rays(points.first_px, focal))
    return np.einsum("mji,mj->mi", rotations[points.second], world)


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(vectors, axis=-1))


def _adjusted(
    points: _Points, rotations: NDArray[np.float64], focal: float, free_focal: bool, steps: int
) -> tuple[NDArray[np.float64], float, float]:
    """Gauss-Newton over all frames but the first, and the focal length's logarithm; and that one's deviation."""
    count, deviation = len(rotations), 0.0
    if not len(points.first):
        return rotations, focal, float("inf")
    for _ in range(steps):
        errors = _residuals(points, rotations, focal)
        # The tails count for nothing in the end.
        weights = 1 / np.maximum(_lengths(errors) / HUBER_PX, 1) ** 2
        normal, gradient = _normal_equations(points, rotations, focal, errors, weights)
        fixed = [0, 1, 2, *([] if free_focal else [3 * count])]
        normal[fixed], normal[:, fixed], gradient[fixed] = 0, 0, 0
        normal[np.diag_indices(3 * count + 1)] += DAMPING * np.trace(normal) / len(normal) + 1e-9
        inverse = np.linalg.pinv(normal, hermitian=True)
        step = -inverse @ gradient
        turns = Rotation.from_rotvec(step[:-1].reshape(-1, 3)).as_matrix()
        rotations = rotations @ turns
        focal *= float(np.exp(np.clip(step[-1], -0.2, 0.2))) if free_focal else 1.0
        deviation = float(np.sqrt(max(inverse[-1, -1], 0.0))) if free_focal else 0.0
        if np.abs(step).max() < 1e-7:
            break
    spread = float(np.sqrt(np.average(errors**2, weights=np.repeat(weights[:, None], 2, axis=1))))
    return rotations, focal, deviation * spread


def _normal_equations(
    points: _Points,
    rotations: NDArray[np.float64],
    focal: float,
    errors: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add up JᵀWJ and JᵀWr. A frame's parameters are a turn in its own axes; the last one is log f."""
    count = len(rotations)
    seen = _seen(points, rotations, focal)
    depth = np.maximum(seen[:, 2], 0.05)
    zero = np.zeros(len(depth))
    across = np.stack([1 / depth, zero, -seen[:, 0] / depth**2], 1)
    down = np.stack([zero, 1 / depth, -seen[:, 1] / depth**2], 1)
    to_pixel = focal * np.stack([across, down], 1)
    between = np.einsum("mji,mjk->mik", rotations[points.second], rotations[points.first])
    rays = _rays(points.first_px, focal)
    by_first = -np.einsum("mij,mjk,mkl->mil", to_pixel, between, _crosses(rays))
    by_second = np.einsum("mij,mjk->mik", to_pixel, _crosses(seen))
    flat = np.column_stack([rays[:, :2], zero])  # of log f: rays shrink, what is seen grows
    by_focal = errors + points.second_px - np.einsum("mij,mjk,mk->mi", to_pixel, between, flat)
    normal, gradient = np.zeros((3 * count + 1,) * 2), np.zeros(3 * count + 1)
    for pair in np.unique(points.first * count + points.second):
        one, other = divmod(int(pair), count)
        here = (points.first == one) & (points.second == other)
        columns = np.r_[3 * one : 3 * one + 3, 3 * other : 3 * other + 3, 3 * count]
        parts = (by_first[here], by_second[here], by_focal[here, :, None])
        jacobian = np.concatenate(parts, axis=2).reshape(-1, 7)
        weighted = jacobian * np.repeat(weights[here], 2)[:, None]
        normal[np.ix_(columns, columns)] += weighted.T @ jacobian
        gradient[columns] += weighted.T @ errors[here].reshape(-1)
    return normal, gradient


def _crosses(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make the matrices [v]× of vectors [m, 3]."""
    x, y, z = vectors.T
    zero = np.zeros(len(x))
    return np.stack([np.stack([zero, -z, y], 1), np.stack([z, zero, -x], 1), np.stack([-y, x, zero], 1)], 1)
