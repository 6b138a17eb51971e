"""Run an evaluation: every method answers every clip, and every answer is measured and written down at once."""

import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import torch

from outofsight.data.dataset import may_be_skipped
from outofsight.data.video import read_video, write_video
from outofsight.data.workers import run_tasks
from outofsight.errors import CheckpointError, InputError, OutputError
from outofsight.evaluation.association import observe, references_of
from outofsight.evaluation.case import ClipCase, check_generated
from outofsight.evaluation.clips import EvalClip, Sample
from outofsight.evaluation.evidence import Detections, Gallery
from outofsight.evaluation.image_metrics import frame_psnr
from outofsight.evaluation.methods import LoadWorld, Method, ModelSource, check_names
from outofsight.evaluation.metrics import (
    InstrumentNames,
    Instruments,
    LoadInstruments,
    chosen_metrics,
    load_instruments,
    measure_clip,
    observed_truth,
    read_gallery,
    write_gallery,
)
from outofsight.evaluation.records import Record, RecordStore, digest_of, in_earlier_words
from outofsight.evaluation.rollouts import Answer, load_tracked, save_tracked
from outofsight.files import explained, remove_unfinished
from outofsight.memory.strategies import strategy
from outofsight.model_folders import find_model
from outofsight.sampling.plan import VideoSize, networks_on_meta, token_grid
from outofsight.sampling.world import WorldModel

Progress = Callable[[int, int, str], None]
"""Called with (answers done, answers in all, what was done last)."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """By what answers are judged, and where that is written. ``metrics``: names; ``None``: all.

    ``load_world``, ``load_instruments``: functions that a worker can import.
    """

    out: Path
    load_world: LoadWorld
    load_instruments: LoadInstruments = load_instruments
    instruments: InstrumentNames = field(default_factory=InstrumentNames)
    metrics: tuple[str, ...] | None = None

    @property
    def store(self) -> RecordStore:
        return RecordStore(self.out)

    @property
    def gallery(self) -> Path:
        return self.out / "records" / "gallery.npz"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Who is judged on what. ``cluster``: Ray instead of processes of this machine.

    ``overwrite``: answers that were made with other settings are replaced.
    """

    config: EvalConfig
    clips: tuple[EvalClip, ...]
    methods: tuple[Method, ...]
    workers: int = 1
    cluster: bool = False
    overwrite: bool = False

    @property
    def measured_by(self) -> str:
        """Digest all that decides the numbers: instruments, the metrics in their own words, and the clips, from all of
        which a detector's gallery of individuals comes."""
        names, metrics = self.config.instruments, chosen_metrics(self.config.metrics)
        clips = digest_of([[clip.name, clip.identity] for clip in self.clips]) if names.detector else None
        return digest_of(names.identity, [[one.name, one.what, one.source] for one in metrics], clips)


@dataclass(frozen=True, kw_only=True)
class ClipTask:
    """One clip and the methods that answer it with one model."""

    config: EvalConfig
    clip: EvalClip
    methods: tuple[Method, ...]
    measured_by: str


def evaluate(evaluation: Evaluation, progress: Progress | None = None) -> None:
    """Have every method answer every clip, but for what is written down already.

    Raises:
        OutputError: the folder holds answers of other methods under these names, or cannot be written.
        InputError: methods or clips share a name.
    """
    check_names(evaluation.methods)
    check_clip_names(evaluation.clips)
    store = evaluation.config.store
    check_claims(evaluation)
    for method in evaluation.methods:
        store.claim(method.name, method.settings)
        remove_unfinished(store.folder(method.name))
    tasks = pending_tasks(evaluation)
    total = len(evaluation.clips) * len(evaluation.methods)
    done = total - sum(len(task.methods) for task in tasks)
    try:
        if tasks:
            _gather_gallery(evaluation)
        for task in run_tasks(
            score_clip, tasks, workers=evaluation.workers, cluster=evaluation.cluster, begin=share_machine, on_gpus=True
        ):  # fmt: skip
            done += len(task.methods)
            if progress is not None:
                progress(done, total, f"{task.clip.name}: {', '.join(c.name for c in task.methods)}")
    finally:
        _world.cache_clear()
        _instruments.cache_clear()
        _gallery.cache_clear()


def check_claims(evaluation: Evaluation) -> None:
    """See that the folder holds no other method's answers under these names. Raises ``OutputError``."""
    for method in evaluation.methods if not evaluation.overwrite else ():
        evaluation.config.store.check_claim(method.name, method.settings)


def check_clip_names(clips: Sequence[EvalClip]) -> None:
    """Raise ``InputError`` unless there are clips, each with a name of its own."""
    names = [clip.name for clip in clips]
    if not names:
        raise InputError("expected at least one clip to judge on, got none")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two clips are called {twice[0]!r}; choose one part of the data set")


def check_models(methods: Sequence[Method], clip: EvalClip) -> VideoSize:
    """Find what cannot work before anything long begins; give the clip's size.
    Raises ``InputError`` if a model cannot take videos of the clip's size, or remember by the strategy asked for."""
    with may_be_skipped():
        case = clip.read().case
    height, width = case.truth.shape[1:3]
    size = VideoSize(
        height=height,
        width=width,
        context_frames=case.num_context_frames,
        target_frames=case.num_target_frames,
    )
    for source in dict.fromkeys(c.source for c in methods if c.source is not None):
        networks = networks_on_meta(str(find_model(source.path)), torch.float32)
        token_grid(networks["transformer"], networks["vae"], size)
        if source.strategy is not None:
            chosen = strategy(source.strategy)
            networks["transformer"].set_memory(chosen.name, chosen.settings)
    return size


def pending_tasks(evaluation: Evaluation) -> list[ClipTask]:
    """Find what is still to be done, one model after another.

    Raises:
        OutputError: an answer is there that was made for another clip of this name, and ``overwrite`` is not set.
    """
    measured_by, tasks = evaluation.measured_by, []
    for methods, clip in product(by_source(evaluation.methods), evaluation.clips):
        if waiting := tuple(m for m in methods if not _is_done(evaluation, m, clip, measured_by)):
            tasks.append(
                ClipTask(config=evaluation.config, clip=clip, methods=waiting, measured_by=measured_by)
            )
    return tasks


def by_source(methods: Sequence[Method]) -> list[list[Method]]:
    """Put methods together that run on one model, so that it is loaded once."""
    groups: dict[ModelSource | None, list[Method]] = {}
    for method in methods:
        groups.setdefault(method.source, []).append(method)
    return list(groups.values())


def made_by(method: Method, clip: EvalClip) -> str:
    """Digest all that decides an answer."""
    return digest_of(in_earlier_words(method.settings), method.reads(clip), clip.name, clip.identity)


def _is_done(evaluation: Evaluation, method: Method, clip: EvalClip, measured_by: str) -> bool:
    store = evaluation.config.store
    record = store.read(method.name, clip.name)
    if record is None or record.refused is not None:
        return False  # what was refused may have been mended
    if record.made_by != made_by(method, clip):
        if evaluation.overwrite:
            return False
        raise OutputError(
            f"{evaluation.config.out}: the answer of {method.name!r} to {clip.name} was made from other files than "
            "are there now; choose another --out, or --overwrite"
        )
    stored = not method.is_kept or store.video(method.name, clip.name).is_file()
    return stored and record.measured_by == measured_by


def score_clip(task: ClipTask) -> ClipTask:
    """Answer and measure one clip by every method of a task. Gives the task back."""
    config, clip = task.config, task.clip
    instruments = _instruments(config.load_instruments, config.instruments)
    with may_be_skipped():
        sample = clip.read()
    truth = observed_truth(instruments, sample.case)
    for method in task.methods:
        world = None if method.source is None else _world(config.load_world, method.source)
        try:
            answer, record = _answered(config.store, method, clip, sample, world)
            check_generated(sample.case, answer.video)
        except InputError as error:
            refused = " ".join(str(error).split())
            record = Record(made_by=made_by(method, clip), measured_by=task.measured_by, refused=refused)
        else:
            numbers = _measured(config, instruments, sample.case, truth, answer)
            record = replace(record, measured_by=task.measured_by, **numbers)
        config.store.write(method.name, clip.name, record)
    return task


def _measured(
    config: EvalConfig, instruments: Instruments, case: ClipCase, truth: Detections | None, answer: Answer
) -> dict[str, Any]:
    """Measure one answer: the parts of its record. ``truth``: subjects as the detector sees them in the true clip."""
    video, observed = answer.video, None
    if truth is not None and instruments.detector is not None:
        observed = observe(instruments.detector, video, references_of(case, truth))
    measured = measure_clip(
        case, video, observed=observed, truth_observed=truth, features=instruments.networks,
        gallery=_gallery(config.gallery), names=config.metrics, tracked=answer.tracked,
    )  # fmt: skip
    by_frame = frame_psnr(video, case.truth).tolist() if case.has_truth else []
    return {
        "values": {name: one.value for name, one in measured.items() if one.value is not None},
        "reasons": {name: one.reason for name, one in measured.items() if one.reason is not None},
        "psnr_by_frame": tuple(round(value, 3) for value in by_frame),
        "video_seconds": case.num_target_frames / case.fps,
    }


def _answered(
    store: RecordStore, method: Method, clip: EvalClip, sample: Sample, world: WorldModel | None
) -> tuple[Answer, Record]:
    """Take an answer that is written down already, or have it made and write it down."""
    wanted, path = made_by(method, clip), store.video(method.name, clip.name)
    there = store.read(method.name, clip.name)
    if there is not None and there.made_by == wanted and there.refused is None:
        kept = _kept(store, method, clip, world)
        if kept is not None:
            return kept, there
    gpu = world.work_device if world is not None and world.work_device.type == "cuda" else None
    if gpu is not None:
        torch.cuda.reset_peak_memory_stats(gpu)
    answer = method.answer(clip, sample, world)
    if method.is_kept:
        write_video(path, answer.video, sample.case.fps, quality="lossless")
    if answer.retrieval is not None:
        answer.retrieval.save(store.retrieval(method.name, clip.name))
    if answer.tracked is not None:
        save_tracked(store.tracked(method.name, clip.name), answer.tracked)
    seconds = {stage: round(value, 4) for stage, value in answer.seconds.items()}
    peak = {} if world is None else _peak_bytes(gpu)
    return answer, Record(made_by=wanted, measured_by="", seconds=seconds, peak_bytes=peak)


def _kept(store: RecordStore, method: Method, clip: EvalClip, world: WorldModel | None) -> Answer | None:
    """Read an answer that was written down; ``None`` where a part is missing or damaged: it must be made again."""
    path, tracked = store.video(method.name, clip.name), store.tracked(method.name, clip.name)
    if not method.is_kept or not path.is_file():
        return None
    if method.kind != "model" or world is None or not world.transformer.has_banks:
        return Answer(video=read_video(path).frames)
    try:
        return Answer(video=read_video(path).frames, tracked=load_tracked(tracked))
    except CheckpointError:
        return None


def _gather_gallery(evaluation: Evaluation) -> None:
    """Look at every clip's context once, so that a subject can be told from those of all other clips."""
    instruments = _instruments(evaluation.config.load_instruments, evaluation.config.instruments)
    if instruments.detector is None:
        return
    contexts = {}
    for clip in evaluation.clips:
        case = clip.read().case
        observed = observed_truth(instruments, case)
        if observed is not None:
            contexts[clip.name] = observed[: case.num_context_frames]
    with explained(evaluation.config.gallery):
        evaluation.config.gallery.parent.mkdir(parents=True, exist_ok=True)
    write_gallery(evaluation.config.gallery, contexts)


def share_machine(worker: int, workers: int) -> None:
    """In a worker: take a share of the cores, and let ``cuda`` mean another GPU to each worker, in turn.

    One that names its GPU (``cuda:1``) gets that one.
    """
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    if torch.cuda.device_count() > 1:
        torch.cuda.set_device(worker % torch.cuda.device_count())


@lru_cache(maxsize=1)
def _world(load: LoadWorld, source: ModelSource) -> WorldModel:
    return load(source)


@lru_cache(maxsize=1)
def _instruments(load: LoadInstruments, names: InstrumentNames) -> Instruments:
    return load(names)


@lru_cache(maxsize=1)
def _gallery(path: Path) -> Gallery | None:
    return read_gallery(path)


def _peak_bytes(gpu: torch.device | None) -> dict[str, int]:
    """Tell the most memory held so far: of the process as a whole, and on the GPU in this answer."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts kilobytes
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    return {**peak, "gpu": int(torch.cuda.max_memory_allocated(gpu))} if gpu is not None else peak
