"""Random camera paths for the property tests of geometry."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outofsight.geometry.poses import pose, rotation_from_quaternion

_QUATERNIONS = arrays(np.float64, 4, elements=st.floats(-1, 1, allow_subnormal=False)).filter(
    lambda quaternion: np.linalg.norm(quaternion) > 0.1
)
_PLACES = arrays(np.float64, 3, elements=st.floats(-300, 300, allow_subnormal=False))


def paths(min_size: int = 1, max_size: int = 4) -> st.SearchStrategy[np.ndarray]:
    """Poses [n, 3, 4] of cameras anywhere, turned anyhow."""
    rotations = _QUATERNIONS.map(lambda q: rotation_from_quaternion(q / np.linalg.norm(q)))
    return st.lists(st.builds(pose, rotations, _PLACES), min_size=min_size, max_size=max_size).map(np.stack)


def as_homogeneous(poses: np.ndarray) -> np.ndarray:
    """Add the bottom row 0 0 0 1: [..., 3, 4] → [..., 4, 4]."""
    bottom = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (*np.shape(poses)[:-2], 1, 4))
    return np.concatenate([poses, bottom], axis=-2)
