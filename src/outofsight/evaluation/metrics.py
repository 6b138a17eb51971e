"""All metrics of a clip, by name, and the networks that they ask. A metric gives a number, or says why it cannot."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from outofsight.errors import InputError
from outofsight.evaluation.association import gallery_of, observe_truth
from outofsight.evaluation.case import ClipCase, Video, check_generated
from outofsight.evaluation.consistency import CONSISTENCY_METRICS, MEMOBENCH_METRICS, WRBENCH_D2_METRICS
from outofsight.evaluation.dsc import DSC_METRICS, DSC_OFFICIAL_METRICS
from outofsight.evaluation.evidence import (
    Detections,
    Detector,
    Evidence,
    FeatureNetwork,
    Gallery,
    Measured,
    Metric,
    Networks,
    annotated,
)
from outofsight.evaluation.image_metrics import IMAGE_METRICS, PERCEPTUAL_METRICS, REVISIT_METRICS
from outofsight.evaluation.methods import files_digest
from outofsight.evaluation.motion import CAMERA_METRICS, RELATIVE_MOTION_METRICS
from outofsight.evaluation.tracked_positions import Tracked
from outofsight.evaluation.tracking import IDENTITY_METRICS, TRACKER_METRICS, TRACKING_METRICS
from outofsight.files import file_in_one_piece
from outofsight.perception.detector_file import detector_digest
from outofsight.perception.named import feature_network, perceptual_network, subject_detector
from outofsight.perception.recogniser import BUNDLED, WEIGHTS_FILE, folder_of
from outofsight.perception.seeing import CentreCrop, PictureFeatures, centre_crop_of
from outofsight.plugins import own_name

MOST_VIDEOS = 8


class RememberedFeatures:
    """Answer from memory for the videos seen last; they are known by a digest of their pixels."""

    def __init__(self, network: FeatureNetwork, most_videos: int = MOST_VIDEOS) -> None:
        self.network, self.most_videos = network, most_videos
        self._known: OrderedDict[str, PictureFeatures] = OrderedDict()

    @property
    def centre_crop(self) -> CentreCrop:
        return centre_crop_of(self.network)

    def features(self, frames: Video) -> PictureFeatures:
        digest = hashlib.sha256(frames.tobytes() + repr(frames.shape).encode()).hexdigest()
        if digest not in self._known:
            self._known[digest] = self.network.features(frames)
        self._known.move_to_end(digest)
        while len(self._known) > self.most_videos:
            self._known.popitem(last=False)
        return self._known[digest]


def remembering(networks: Networks) -> Networks:
    """Let every feature network remember; one that serves several uses has one memory for all."""
    memories: dict[int, FeatureNetwork] = {}

    def remembered(network: FeatureNetwork | None) -> FeatureNetwork | None:
        if network is None or isinstance(network, RememberedFeatures):
            return network
        return memories.setdefault(id(network), RememberedFeatures(network))

    return Networks(
        appearance=remembered(networks.appearance),
        subjects=remembered(networks.subjects),
        backgrounds=remembered(networks.backgrounds),
        perceptual=networks.perceptual,
    )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *IMAGE_METRICS,
        *TRACKING_METRICS,
        *RELATIVE_MOTION_METRICS,
        *CAMERA_METRICS,
        *REVISIT_METRICS,
        *TRACKER_METRICS,
        *DSC_METRICS,
        *DSC_OFFICIAL_METRICS,
        *IDENTITY_METRICS,
        *CONSISTENCY_METRICS,
        *MEMOBENCH_METRICS,
        *WRBENCH_D2_METRICS,
        *PERCEPTUAL_METRICS,
    )
}
"""Every metric, in the order in which reports show them."""


def register_metric(metric: Metric) -> None:
    """Make a metric of one's own known by name. Raises ``InputError`` if the name is another's."""
    if METRICS.get(metric.name, metric) != metric:
        raise InputError(f"metric {metric.name!r} is there already; choose another name")
    METRICS[metric.name] = metric


def measure_clip(
    case: ClipCase,
    generated: Video,
    *,
    observed: Detections | None = None,
    truth_observed: Detections | None = None,
    features: FeatureNetwork | Networks | None = None,
    gallery: Gallery | None = None,
    names: Sequence[str] | None = None,
    tracked: Tracked | None = None,
) -> dict[str, Measured]:
    """Judge one generated video [t, h, w, 3] against the truth, by all metrics or by those named.

    ``observed``: the subjects as a detector sees them in the generated video, t frames; ``truth_observed``: the same
    over context and truth, c + t frames (default: the annotation's masks); ``features``: one network for everything,
    or one for each use (``remembering`` them outside lets methods share what was computed); ``gallery``:
    individuals of other clips, among whom a subject must be recognised; ``tracked``: what the model's tracker held
    (``evaluation.rollouts``), for the metrics that ask it.

    Raises ``InputError`` if a name is unknown, or the video or what is observed does not fit the clip.
    """
    check_generated(case, generated)
    truth = annotated(case) if truth_observed is None else truth_observed
    networks = features if isinstance(features, Networks) else Networks.all(features)
    evidence = Evidence(
        case=case, generated=generated, observed=observed, truth_observed=truth,
        networks=remembering(networks), gallery=gallery, tracked=tracked,
    )  # fmt: skip
    _check_observed(case, truth, case.num_frames, "context and truth")
    if observed is not None and truth is not None and observed.num_subjects != truth.num_subjects:
        raise InputError(
            f"clip {case.name!r}: {observed.num_subjects} subjects are observed in the generated video and "
            f"{truth.num_subjects} in the true one; observe both by the same references"
        )
    _check_observed(case, observed, case.num_target_frames, "generated video")
    return {metric.name: metric(evidence) for metric in chosen_metrics(names)}


def chosen_metrics(names: Sequence[str] | None) -> list[Metric]:
    """Look metrics up by name, in the reports' order; ``None``: all. ``MODULE:NAME`` first imports the module.
    Raises ``InputError`` if a name is unknown, or there is no such module."""
    if names is None:
        return list(METRICS.values())
    names = [own_name(name, "--metrics") for name in names]
    if unknown := [name for name in names if name not in METRICS]:
        raise InputError(f"unknown metrics {', '.join(unknown)}; known are {', '.join(METRICS)}")
    return [metric for name, metric in METRICS.items() if name in names]


def _check_observed(case: ClipCase, observed: Detections | None, num_frames: int, what: str) -> None:
    if observed is None:
        return
    subjects = observed.num_subjects if case.subject_masks is None else case.num_subjects
    if observed.detected.shape != (subjects, num_frames):
        raise InputError(
            f"clip {case.name!r}: expected {subjects} subjects in {num_frames} frames to be observed in the {what}, "
            f"got {observed.detected.shape}"
        )


@dataclass(frozen=True, kw_only=True)
class InstrumentNames:
    """Names or folders of the networks to measure with. ``None``: the metrics that need it are undefined.

    ``digests``: what tells the networks of these names from others, such as a digest of their files.
    """

    detector: str | None = None
    features: str | None = None
    perceptual: str | None = None
    device: str = "cpu"
    digests: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what the instruments tell. The device changes no more than rounding."""
        return {name: value for name, value in asdict(self).items() if name != "device"}


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """The networks themselves."""

    detector: Detector | None = None
    networks: Networks = field(default_factory=Networks)


def instrument_names(
    detector: str | None, features: str | None, perceptual: str | None, *, device: str = "cpu"
) -> InstrumentNames:
    """Name the instruments, and find what tells them from others of these names."""
    named = {name: folder_of(name) for name in (detector, features, perceptual) if name is not None}
    digests = {
        name: files_digest(place) if place.is_dir() else detector_digest(place)
        for name, place in named.items() if place.is_dir() or place.is_file()
    }  # fmt: skip
    return InstrumentNames(
        detector=detector, features=features, perceptual=perceptual, device=device, digests=digests
    )


def bundled_instrument() -> str | None:
    """Name the recogniser that comes with the package; ``None`` where this installation lacks it."""
    return next((name for name in BUNDLED if (folder_of(name) / WEIGHTS_FILE).is_file()), None)


def load_instruments(names: InstrumentNames) -> Instruments:
    """Load the networks. Raises ``InputError`` or ``CheckpointError`` for one that is not there."""
    features = None if names.features is None else feature_network(names.features, names.device)
    perceptual = None if names.perceptual is None else perceptual_network(names.perceptual, names.device)
    detector = None if names.detector is None else subject_detector(names.detector, names.device)
    return Instruments(detector=detector, networks=remembering(Networks.all(features, perceptual)))


LoadInstruments = Callable[[InstrumentNames], Instruments]


def observed_truth(instruments: Instruments, case: ClipCase) -> Detections | None:
    """Observe the true clip by the annotation and, where there is one, the detector; ``None``: nothing is annotated."""
    if instruments.detector is None or annotated(case) is None:
        return None
    return observe_truth(instruments.detector, case)


def write_gallery(path: Path, contexts: dict[str, Detections]) -> None:
    """Write the individuals of many clips, among whom subjects are to be recognised. Raises ``OutputError``."""
    gallery = gallery_of(contexts)
    if gallery is None:
        return
    owners = np.array([f"{subject}\t{clip}" for clip, subject in gallery.owners])
    with file_in_one_piece(path) as temporary:
        np.savez(temporary, identities=gallery.identities, owners=owners)


def read_gallery(path: Path) -> Gallery | None:
    """Read the individuals back; ``None`` where the detector gave none."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        pairs = [str(owner).split("\t", 1) for owner in stored["owners"]]
        return Gallery(
            identities=stored["identities"], owners=tuple((clip, int(subject)) for subject, clip in pairs)
        )
