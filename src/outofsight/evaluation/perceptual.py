"""Distances by pretrained networks: LPIPS of a clip, and the Fréchet distance (FVD) of many clips."""

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.evaluation.evidence import Evidence, Measure, Measured


def lpips(evidence: Evidence) -> Measured:
    assert evidence.networks.perceptual is not None
    return Measured(
        float(evidence.networks.perceptual.distances(evidence.generated, evidence.case.truth).mean())
    )


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Give the squared Fréchet distance of two sets of features [n, d] and [m, d], each taken for a Gaussian.

    |μ_a − μ_b|² + tr(C_a + C_b − 2 (C_a C_b)^½). With a video network's features (I3D: one vector a clip) this is FVD.
    Fewer clips than features make it too large: compare only sets of equal numbers of clips.

    Raises:
        InputError: fewer than two clips on a side, or features of different networks.

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


PERCEPTUAL_MEASURES = (
    Measure(
        name="lpips",
        tier=1,
        unit="",
        higher_is_better=False,
        needs=frozenset({"perceptual"}),
        what="perceptual distance of target frames, the mean over frames",
        source="Zhang et al. 2018, AlexNet as published",
        compute=lpips,
    ),
)
