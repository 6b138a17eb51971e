"""What all records say together: summaries of every contender by group, differences, cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from outofsight.errors import InputError, OutputError
from outofsight.evaluation.clips import JudgedClip, groups_of
from outofsight.evaluation.contenders import Contender
from outofsight.evaluation.evidence import Measure
from outofsight.evaluation.measures import chosen_measures
from outofsight.evaluation.records import FORMAT, Record
from outofsight.evaluation.run import Evaluation
from outofsight.evaluation.statistics import Summary, paired_difference, summarise

ALL_CLIPS = "all clips"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One measure of one contender over a group: ``summary``, and ``difference`` to the baseline on the same clips.

    ``difference``: ``None`` for the baseline itself, or without one.
    """

    summary: Summary
    difference: Summary | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What answers took, loading excluded. ``seconds``: the median over clips, by stage; ``per_video_second``:
    device-seconds for a second of video, all stages; ``peak_bytes``: the most of any clip."""

    seconds: Mapping[str, float]
    per_video_second: Summary
    peak_bytes: Mapping[str, int]


Standings = Mapping[str, Mapping[str, Standing]]
"""By contender, then by measure."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """All records of an evaluation. ``records``: by contender, then by clip."""

    clips: tuple[JudgedClip, ...]
    contenders: tuple[Contender, ...]
    measures: tuple[Measure, ...]
    records: Mapping[str, Mapping[str, Record]]
    baseline: str | None

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The names of the clips of each group; all of them together come first where there are several groups."""
        groups = groups_of(self.clips)
        return {ALL_CLIPS: [clip.name for clip in self.clips], **groups} if len(groups) > 1 else groups

    @cached_property
    def standings(self) -> dict[str, Standings]:
        """By group, contender and measure."""
        return {group: self._standings(names) for group, names in self.groups.items()}

    def _standings(self, clips: Sequence[str]) -> Standings:
        return {
            contender.name: {
                measure.name: self._standing(contender.name, measure.name, clips) for measure in self.measures
            }
            for contender in self.contenders
        }

    def _standing(self, contender: str, measure: str, clips: Sequence[str]) -> Standing:
        values = self.values(contender, measure, clips)
        difference = None
        if self.baseline is not None and contender != self.baseline:
            difference = paired_difference(values, self.values(self.baseline, measure, clips))
        return Standing(summary=summarise(values), difference=difference)

    def values(self, contender: str, measure: str, clips: Sequence[str]) -> list[float | None]:
        """Give one measure on each of the clips; ``None`` where it could not be computed."""
        return [self.records[contender][clip].value(measure) for clip in clips]

    def cost(self, contender: str) -> Cost | None:
        """Tell what a contender's answers took; ``None`` where nothing was timed."""
        records = [record for record in self.records[contender].values() if record.seconds]
        if not records:
            return None
        stages = dict.fromkeys(stage for record in records for stage in record.seconds)
        peaks = dict.fromkeys(kind for record in records for kind in record.peak_bytes)
        return Cost(
            seconds={
                stage: float(np.median([r.seconds[stage] for r in records if stage in r.seconds]))
                for stage in stages
            },
            per_video_second=summarise([sum(r.seconds.values()) / r.video_seconds for r in records]),
            peak_bytes={kind: max(r.peak_bytes.get(kind, 0) for r in records) for kind in peaks},
        )

    def refusals(self, contender: str) -> dict[str, str]:
        """Give the clips that a contender did not answer, and why."""
        records = self.records[contender].items()
        return {clip: record.refused for clip, record in records if record.refused is not None}


def check_baseline(evaluation: Evaluation, baseline: str | None) -> None:
    """Raise ``InputError`` unless some contender has the baseline's name."""
    names = [contender.name for contender in evaluation.contenders]
    if baseline is not None and baseline not in names:
        raise InputError(f"--baseline: expected one of {', '.join(names)}, got {baseline!r}")


def gather(evaluation: Evaluation, baseline: str | None = None) -> Results:
    """Read all records of a finished evaluation.

    ``baseline``: the contender that others are compared with; default: the floor *frozen*, where it is there.

    Raises:
        InputError: no contender has the baseline's name.
        OutputError: a record is missing, since the evaluation did not come to its end.
    """
    check_baseline(evaluation, baseline)
    store = evaluation.judging.store
    names = [contender.name for contender in evaluation.contenders]
    records: dict[str, dict[str, Record]] = {name: {} for name in names}
    for name in names:
        for clip in evaluation.clips:
            record = store.read(name, clip.name)
            if record is None:
                raise OutputError(
                    f"{store.folder(name)}: holds no record of {clip.name}; run the evaluation again"
                )
            records[name][clip.name] = record
    return Results(
        clips=evaluation.clips,
        contenders=evaluation.contenders,
        measures=tuple(chosen_measures(evaluation.judging.measures)),
        records=records,
        baseline=baseline or ("frozen" if "frozen" in names else None),
    )


def results_as_json(results: Results, made: Mapping[str, Any]) -> dict[str, Any]:
    """Give everything as JSON holds it. ``made``: settings, versions and commit."""
    return {
        "format": FORMAT,
        **made,
        "clips": [{"name": clip.name, "group": clip.group} for clip in results.clips],
        "measures": {
            m.name: {"tier": m.tier, "unit": m.unit, "higher_is_better": m.higher_is_better, "what": m.what,
                     "source": m.source}
            for m in results.measures
        },
        "contenders": [{"name": c.name, **c.settings} for c in results.contenders],
        "baseline": results.baseline,
        "summaries": {
            group: {name: {m: _standing_as_json(s) for m, s in row.items()} for name, row in rows.items()}
            for group, rows in results.standings.items()
        },
        "cost": {c.name: _cost_as_json(results.cost(c.name)) for c in results.contenders},
        "records": {
            name: {clip: _record_as_json(record) for clip, record in rows.items()}
            for name, rows in results.records.items()
        },
    }  # fmt: skip


def _standing_as_json(standing: Standing) -> dict[str, Any]:
    return {
        **_summary_as_json(standing.summary),
        "difference": None if standing.difference is None else _summary_as_json(standing.difference),
    }


def _summary_as_json(summary: Summary) -> dict[str, Any]:
    return {**asdict(summary), "gate_rate": summary.gate_rate}


def _cost_as_json(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {
        "median_seconds": dict(cost.seconds),
        "seconds_per_video_second": _summary_as_json(cost.per_video_second),
        "peak_bytes": dict(cost.peak_bytes),
    }


def _record_as_json(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.as_json().items() if key != "format"}


def ranking_measure(results: Results) -> Measure | None:
    """Choose the measure that clips are ranked by: subjects' PSNR at re-entry where it can be had, else PSNR."""
    by_name = {measure.name: measure for measure in results.measures}
    for name in ("fg_psnr_reentered", "psnr"):
        if name in by_name and any(
            record.value(name) is not None for rows in results.records.values() for record in rows.values()
        ):
            return by_name[name]
    return next((m for m in results.measures if m.higher_is_better is not None), None)


def ranked_clips(results: Results, contender: str, measure: Measure | None) -> list[str]:
    """Order the clips by how well a contender did, the worst first; those without a number come last."""
    if measure is None:
        return [clip.name for clip in results.clips]
    sign = -1.0 if measure.higher_is_better is False else 1.0

    def key(clip: JudgedClip) -> tuple[bool, float]:
        value = results.records[contender][clip.name].value(measure.name)
        return value is None, 0.0 if value is None else sign * value

    return [clip.name for clip in sorted(results.clips, key=key)]


def leading_contender(results: Results) -> str:
    """Name the contender whose worst clips are shown first: the first model, else the first other videos, else any."""
    for kind in ("model", "videos"):
        for contender in results.contenders:
            if contender.kind == kind:
                return contender.name
    return results.contenders[0].name
