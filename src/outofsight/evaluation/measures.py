"""All measures of a clip, by name. A measure gives a number, or says why it cannot: never a silent zero."""

from collections.abc import Sequence

from outofsight.errors import InputError
from outofsight.evaluation.camera_motion import CAMERA_MEASURES
from outofsight.evaluation.case import ClipCase, Video, check_generated
from outofsight.evaluation.consistency import CONSISTENCY_MEASURES
from outofsight.evaluation.dsc import DSC_MEASURES
from outofsight.evaluation.dsc_official import DSC_OFFICIAL_MEASURES
from outofsight.evaluation.evidence import Evidence, Gallery, Measure, Measured, Networks, annotated
from outofsight.evaluation.held_places import Tracked
from outofsight.evaluation.identity import IDENTITY_MEASURES
from outofsight.evaluation.liveness import LIVENESS_MEASURES
from outofsight.evaluation.memobench import MEMOBENCH_MEASURES
from outofsight.evaluation.observations import FeatureNetwork, Observed
from outofsight.evaluation.perceptual import PERCEPTUAL_MEASURES
from outofsight.evaluation.picture_measures import PICTURE_MEASURES
from outofsight.evaluation.place_measures import PLACE_MEASURES
from outofsight.evaluation.remembering import remembering
from outofsight.evaluation.revisits import REVISIT_MEASURES
from outofsight.evaluation.tracking import TRACKING_MEASURES
from outofsight.evaluation.wrbench_d2 import WRBENCH_D2_MEASURES

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        *PICTURE_MEASURES,
        *TRACKING_MEASURES,
        *LIVENESS_MEASURES,
        *CAMERA_MEASURES,
        *REVISIT_MEASURES,
        *PLACE_MEASURES,
        *DSC_MEASURES,
        *DSC_OFFICIAL_MEASURES,
        *IDENTITY_MEASURES,
        *CONSISTENCY_MEASURES,
        *MEMOBENCH_MEASURES,
        *WRBENCH_D2_MEASURES,
        *PERCEPTUAL_MEASURES,
    )
}
"""Every measure, in the order in which reports show them."""


def measure_clip(
    case: ClipCase,
    generated: Video,
    *,
    observed: Observed | None = None,
    truth_observed: Observed | None = None,
    features: FeatureNetwork | Networks | None = None,
    gallery: Gallery | None = None,
    names: Sequence[str] | None = None,
    tracked: Tracked | None = None,
) -> dict[str, Measured]:
    """Judge one generated video [t, h, w, 3] against the truth, by all measures or by those named.

    ``observed``: the subjects as a detector sees them in the generated video, t frames; ``truth_observed``: the same
    over context and truth, c + t frames (default: the annotation's masks); ``features``: one network for everything,
    or one for each use (``remembering`` them outside lets contenders share what was computed); ``gallery``:
    individuals of other clips, among whom a subject must be recognised; ``tracked``: what the model's tracker held
    (``evaluation.following``), for the measures that ask it.

    Raises:
        InputError: a name is unknown, or the video or what is observed does not fit the clip.
    """
    check_generated(case, generated)
    evidence = Evidence(
        case=case,
        generated=generated,
        observed=observed,
        truth_observed=annotated(case) if truth_observed is None else truth_observed,
        networks=_networks(features),
        gallery=gallery,
        tracked=tracked,
    )
    truth = evidence.truth_observed
    _check_observed(case, truth, case.num_frames, "context and truth")
    if observed is not None and truth is not None and observed.num_subjects != truth.num_subjects:
        raise InputError(
            f"clip {case.name!r}: {observed.num_subjects} subjects are observed in the generated video and "
            f"{truth.num_subjects} in the true one; observe both by the same references"
        )
    _check_observed(case, observed, case.num_target_frames, "generated video")
    return {measure.name: measure(evidence) for measure in chosen_measures(names)}


def chosen_measures(names: Sequence[str] | None) -> list[Measure]:
    """Look measures up by name, in the reports' order; ``None``: all.

    Raises:
        InputError: a name is unknown.
    """
    unknown = [] if names is None else [name for name in names if name not in MEASURES]
    if unknown:
        raise InputError(f"unknown measures {', '.join(unknown)}; known are {', '.join(MEASURES)}")
    return [measure for name, measure in MEASURES.items() if names is None or name in names]


def _networks(features: FeatureNetwork | Networks | None) -> Networks:
    if features is None:
        return Networks()
    return remembering(features if isinstance(features, Networks) else Networks.all(features))


def _check_observed(case: ClipCase, observed: Observed | None, num_frames: int, what: str) -> None:
    if observed is None:
        return
    subjects = observed.num_subjects if case.subject_masks is None else case.num_subjects
    if observed.detected.shape != (subjects, num_frames):
        raise InputError(
            f"clip {case.name!r}: expected {subjects} subjects in {num_frames} frames to be observed in the {what}, "
            f"got {observed.detected.shape}"
        )
