"""What answers are measured with: the detector and the feature networks, by name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from outofsight.data.files import explained, written_whole
from outofsight.evaluation.association import gallery_of, observe_truth
from outofsight.evaluation.case import ClipCase
from outofsight.evaluation.contenders import files_digest
from outofsight.evaluation.evidence import Gallery, Networks, annotated
from outofsight.evaluation.measures import chosen_measures
from outofsight.evaluation.observations import Detector, Observed
from outofsight.evaluation.records import digest_of
from outofsight.evaluation.remembering import remembering
from outofsight.perception.named import feature_network, perceptual_network, subject_detector
from outofsight.perception.recogniser import BUNDLED, WEIGHTS_FILE


@dataclass(frozen=True, kw_only=True)
class InstrumentNames:
    """Names or folders of the networks to measure with. ``None``: the measures that need it are gated.

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
        return {
            "detector": self.detector,
            "features": self.features,
            "perceptual": self.perceptual,
            "digests": self.digests,
        }


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """The networks themselves."""

    detector: Detector | None = None
    networks: Networks = field(default_factory=Networks)


def instrument_names(
    detector: str | None, features: str | None, perceptual: str | None, *, device: str = "cpu"
) -> InstrumentNames:
    """Name the instruments, and find what tells them from others of these names."""
    named = {name: _folder_of(name) for name in (detector, features, perceptual) if name is not None}
    return InstrumentNames(
        detector=detector,
        features=features,
        perceptual=perceptual,
        device=device,
        digests={name: files_digest(folder) for name, folder in named.items() if folder.is_dir()},
    )


def bundled_instrument() -> str | None:
    """Name the recogniser that comes with the package; ``None`` where this installation lacks it."""
    return next((name for name in BUNDLED if (_folder_of(name) / WEIGHTS_FILE).is_file()), None)


def load_instruments(names: InstrumentNames) -> Instruments:
    """Load the networks. Raises ``InputError`` or ``CheckpointError`` for one that is not there."""
    features = None if names.features is None else feature_network(names.features, names.device)
    perceptual = None if names.perceptual is None else perceptual_network(names.perceptual, names.device)
    detector = None if names.detector is None else subject_detector(names.detector, names.device)
    if features is None:
        return Instruments(detector=detector, networks=Networks(perceptual=perceptual))
    return Instruments(detector=detector, networks=remembering(Networks.all(features, perceptual)))


def _folder_of(name: str) -> Path:
    """Find the folder of a network of the package's own, or take the name for one."""
    return Path(str(files("outofsight.perception"))) / "weights" / name if name in BUNDLED else Path(name)


LoadInstruments = Callable[[InstrumentNames], Instruments]


def measuring_identity(names: InstrumentNames, measures: tuple[str, ...] | None, gallery: str | None) -> str:
    """Digest all that decides the numbers: instruments, and the measures in their own words."""
    told = [[measure.name, measure.what, measure.source] for measure in chosen_measures(measures)]
    return digest_of(names.identity, told, gallery)


def observed_truth(instruments: Instruments, case: ClipCase) -> Observed | None:
    """Observe the true clip by the annotation and, where there is one, the detector; ``None``: nothing is annotated."""
    if instruments.detector is None or annotated(case) is None:
        return None
    return observe_truth(instruments.detector, case)


def write_gallery(path: Path, contexts: dict[str, Observed]) -> None:
    """Write the individuals of many clips, among whom subjects are to be recognised. Raises ``OutputError``."""
    gallery = gallery_of(contexts)
    if gallery is None:
        return
    owners = np.array([f"{subject}\t{clip}" for clip, subject in gallery.owners])
    with explained(path), written_whole(path) as temporary:
        np.savez(temporary, identities=gallery.identities, owners=owners)


def read_gallery(path: Path) -> Gallery | None:
    """Read the individuals back; ``None`` where the detector told none."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        pairs = [str(owner).split("\t", 1) for owner in stored["owners"]]
        return Gallery(
            identities=stored["identities"], owners=tuple((clip, int(subject)) for subject, clip in pairs)
        )
