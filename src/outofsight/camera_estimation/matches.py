"""Points of scenery that two frames of a video both show: SIFT features, matched between frames near in time.

::

    frame    0   1   2   3   4   5   6   7   8      each is matched with the frames 1, 2, 4, 8, 16 and 32 on
             |---|---|-------|---------------|

pycolmap does the work; what is in the picture but moves by itself is left out by masks, the rest by geometry.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.types import Intrinsics

Video = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]
"""Called with the stage, and how much of it is done."""

MOST_FEATURES = 1500
OVERLAP = 6
LEAST_MATCHES = 20
WIDEN_PX = 4
GREY = np.array([0.299, 0.587, 0.114])


def colmap() -> ModuleType:
    """Import pycolmap, quietly. Raises ``InputError`` where it is not installed."""
    try:
        import pycolmap  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "cameras are estimated by pycolmap, which is not installed: pip install 'outofsight[cameras]', or estimate "
            "them elsewhere and use `outofsight cameras import`"
        ) from error
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    pycolmap.logging.stderrthreshold = pycolmap.logging.Level.FATAL.value
    return pycolmap


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two frames and what both show: ``first_px``, ``second_px`` float64 [m, 2], x and y in pixels."""

    first: int
    second: int
    first_px: NDArray[np.float64]
    second_px: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """``pairs`` that geometry confirms, and the ``database`` they lie in, whose image i + 1 is frame i."""

    pairs: tuple[Pair, ...]
    database: Path
    num_frames: int
    height_px: int
    width_px: int


@contextmanager
def matched(video: Video, masks: Masks | None, lens: Intrinsics, progress: Progress) -> Iterator[Matches]:
    """Find features in every frame and match them. ``masks``: what is no scenery. ``lens``: a first guess.

    Raises:
        InputError: pycolmap is not installed.
    """
    library = colmap()
    height, width = video.shape[1:3]
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "features.db"
        _write_features(library, path, video, masks, lens, progress)
        progress("matching", 0, 1)
        library.match_sequential(
            path,
            matching_options=library.FeatureMatchingOptions(num_threads=1, use_gpu=False),
            pairing_options=library.SequentialPairingOptions(overlap=OVERLAP, quadratic_overlap=True),
            verification_options=library.TwoViewGeometryOptions(ransac={"random_seed": 0, "max_error": 2.0}),
            device=library.Device.cpu,
        )
        pairs = _read_pairs(library, path)
        progress("matching", 1, 1)
        yield Matches(pairs=pairs, database=path, num_frames=len(video), height_px=height, width_px=width)


def _write_features(
    library: ModuleType, path: Path, video: Video, masks: Masks | None, lens: Intrinsics, progress: Progress
) -> None:
    options = library.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    options.sift.max_num_features, options.sift.first_octave = MOST_FEATURES, 0
    extractor = library.FeatureExtractor.create(options, library.Device.cpu)
    with library.Database.open(path) as database:
        camera = library.Camera(
            model="SIMPLE_PINHOLE", width=lens.width_px, height=lens.height_px,
            params=[lens.fx_px, lens.cx_px, lens.cy_px],
        )  # fmt: skip
        camera.has_prior_focal_length = True
        camera.camera_id = database.write_camera(camera)
        rig = library.Rig()
        rig.add_ref_sensor(camera.sensor_id)
        rig.rig_id = database.write_rig(rig)
        for number, frame in enumerate(video):
            keypoints, descriptors = _features(library, extractor, frame)
            if masks is not None:
                kept = ~_under(widened(masks[number], WIDEN_PX), keypoints)
                keypoints, descriptors = keypoints[kept], descriptors[kept]
            _write_frame(library, database, camera, rig, number, keypoints, descriptors)
            progress("features", number + 1, len(video))


def _features(
    library: ModuleType, extractor: Any, frame: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    grey = np.ascontiguousarray((frame @ GREY).round().astype(np.uint8))
    keypoints, descriptors = extractor.extract(library.Bitmap.from_array(grey))
    places = np.array(
        [[point.x, point.y, point.compute_scale(), point.compute_orientation()] for point in keypoints]
    )
    return places.astype(np.float32).reshape(-1, 4), np.asarray(descriptors.data)


def _write_frame(
    library: ModuleType, database: Any, camera: Any, rig: Any, number: int,
    keypoints: NDArray[np.float32], descriptors: NDArray[np.uint8],
) -> None:  # fmt: skip
    image = library.Image(name=f"{number:06d}", camera_id=camera.camera_id, image_id=number + 1)
    database.write_image(image, True)
    frame = library.Frame(frame_id=number + 1, rig_id=rig.rig_id)
    frame.add_data_id(image.data_id)
    database.write_frame(frame, True)
    database.write_keypoints(number + 1, keypoints)
    database.write_descriptors(
        number + 1, library.FeatureDescriptors(library.FeatureExtractorType.SIFT, descriptors)
    )


def widened(mask: Masks, by_px: int) -> Masks:
    """Widen one mask [height, width] by so many pixels along both axes."""
    for axis in (0, 1):
        wide = mask.copy()
        for step in range(1, by_px + 1):
            wide |= np.roll(mask, step, axis) | np.roll(mask, -step, axis)
        mask = wide
    return mask


def _under(mask: Masks, keypoints: NDArray[np.float32]) -> NDArray[np.bool_]:
    columns = np.clip(keypoints[:, 0].astype(int), 0, mask.shape[1] - 1)
    rows = np.clip(keypoints[:, 1].astype(int), 0, mask.shape[0] - 1)
    return mask[rows, columns]


def _read_pairs(library: ModuleType, path: Path) -> tuple[Pair, ...]:
    pairs = []
    with library.Database.open(path) as database:
        places: dict[int, NDArray[np.float64]] = {}
        numbers, geometries = database.read_two_view_geometries()
        for pair, geometry in zip(numbers, geometries, strict=True):
            inliers = np.asarray(geometry.inlier_matches, dtype=np.int64)
            if len(inliers) < LEAST_MATCHES:
                continue
            one, other = library.pair_id_to_image_pair(pair)
            for image in (one, other):
                if image not in places:
                    places[image] = np.asarray(database.read_keypoints(image))[:, :2].astype(np.float64)
            found = Pair(
                first=one - 1, second=other - 1,
                first_px=places[one][inliers[:, 0]], second_px=places[other][inliers[:, 1]],
            )  # fmt: skip
            pairs.append(found)
    return tuple(sorted(pairs, key=lambda pair: (pair.first, pair.second)))
