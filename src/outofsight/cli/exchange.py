"""``outofsight exchange``: run a benchmark's cases, and take results of its layout into ``evaluate``."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from outofsight.cli import options as opt
from outofsight.cli.cases import Continued, Shape
from outofsight.cli.progress import shown_progress
from outofsight.cli.provenance import provenance
from outofsight.data.outputs import check_outputs, claimed, refuse_existing
from outofsight.errors import InputError, OutputError
from outofsight.files import write_json

if TYPE_CHECKING:
    from outofsight.exchange.case import Benchmark, BenchmarkCase, Frames
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.sampling.world import WorldModel
    from outofsight.types import CameraPath


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Which cases of which benchmark."""

    name: Annotated[str, typer.Argument(help="wrbench, mind, memobench or stevo")]
    cases: Annotated[Path, typer.Option(help="the benchmark's folder of cases")]
    sources: Annotated[
        Path | None, typer.Option(help="what lies apart: source clips, first frames, or prompts")
    ] = None
    camera: Annotated[
        list[str] | None, typer.Option(help="wrbench: preset, yaw:left:60@40,..., or file; may be repeated")
    ] = None
    limit: opt.Limit = None

    def read(self) -> "tuple[Benchmark, list[BenchmarkCase]]":
        from outofsight.exchange import benchmark
        from outofsight.exchange.case import Ask

        found = benchmark(self.name)
        if self.camera and self.name != "wrbench":
            raise InputError(f"--camera: {self.name} says its own cameras; leave it out")
        if not self.cases.exists():
            raise InputError(f"--cases: there is no {self.cases}; name the benchmark's folder")
        ask = Ask(cameras=tuple(self.camera or ()), sources=self.sources, limit=self.limit)
        return found, found.read_cases(self.cases, ask)


def build_exchange() -> typer.Typer:
    """Gather the verbs."""
    about = "Other benchmarks' cases and results."
    return opt.group(about, list=list_cases, run=run, write=write, read=read, cameras=score_cameras)


@opt.takes(Cases)
def list_cases(asked: Cases) -> None:
    """Say which cases there are; whatever is missing or not as documented is one line."""
    _, found = asked.read()
    for case in found:
        moves = "still" if case.cameras is None else f"{len(case.cameras)} poses"
        print(f"{case.name}\t{moves}\t{'with' if case.truth else 'without'} truth\t{case.prompt[:80]}")
    print(f"{len(found)} cases")


@dataclass(frozen=True, kw_only=True)
class RunCases(Cases, Continued):
    """What ``exchange run`` is asked for."""

    out: Annotated[Path, typer.Option(help="folder of results, in the benchmark's layout")]
    system: Annotated[str | None, typer.Option(help="name of the system there (default: the model's)")] = None
    seed: opt.SeedOfEach = 42
    dry_run: opt.DryRun = False


@opt.takes(RunCases)
def run(asked: RunCases) -> None:
    """Continue every case and write it where the benchmark's evaluation looks. Stopped, the same command goes on."""
    from outofsight.cli.loading import check_loading, empty_model, load_world

    found, chosen = asked.read()
    out, shape, sampling = asked.out, asked.shape, asked.sampling
    check_loading(asked)
    networks = empty_model(asked, whole=asked.dry_run)
    label = _system(asked.system or Path(asked.path).name)
    settings = {
        "benchmark": asked.name, "model": asked.path, "strategy": asked.strategy,
        "sampling": {key: getattr(sampling, key) for key in (*asked.use.sampling, "seed")},
        "frames": list(shape.frames), "size": list(shape.size) if shape.size else None, "fov": asked.fov,
    }  # fmt: skip
    _check_place(found, out, label, settings, [asked.cases, asked.sources, asked.path])
    done = found.written(out, label, chosen)
    todo = [case for case in chosen if case.name not in done]
    if asked.dry_run:
        for case in todo:
            _check_case(networks, case, shape)
        print(f"would write {out / label}: {len(chosen)} cases, {len(done)} of them are there")
        return
    with claimed(out, filled=True):
        _note(found, out, label, settings)
        if todo:
            _continue(load_world(asked), found, todo, shape, sampling, put=partial(found.write, out, label))
        found.finish(out, label, chosen)
    print(f"{out / label}: {len(chosen)} cases, {len(done)} of them were there already")


def _continue(
    world: "WorldModel", found: "Benchmark", cases: "Sequence[BenchmarkCase]", shape: Shape,
    sampling: "SamplingSettings", put: "Callable[[BenchmarkCase, Frames, float], None]",
) -> None:  # fmt: skip
    """Continue cases: target paths in as many frames as are asked for, from where the context ends."""
    import numpy as np

    from outofsight.evaluation.methods import sampling_of

    num_context = shape.frames[0] if found.with_context else 0
    with shown_progress(Console(stderr=True), "cases") as show:
        for number, case in enumerate(cases, start=1):
            video, context, target = _inputs(case, shape)
            made = world.continue_video(
                video, context, target, case.prompt, sampling_of(sampling, case.name),
                on_progress=lambda stage, done, total: None,
            )  # fmt: skip
            frames = np.concatenate([video, made.video]) if found.with_context else made.video
            put(_begun(case, num_context), frames, shape.fps or case.fps)
            show(number, len(cases), case.name)


def _system(text: str) -> str:
    if not text or text.startswith(".") or set(text) & set('/\\:*?"<>|'):
        raise InputError(f"--system: {text!r} cannot name a folder")
    return text


def _check_place(
    found: "Benchmark", out: Path, label: str, settings: dict[str, Any], reads: Sequence[str | Path | None]
) -> None:
    """Refuse a folder that holds another system's results, or results of other settings."""
    record = found.record_path(out, label)
    if record.is_file():
        try:
            recorded = json.loads(record.read_bytes())
        except ValueError:
            recorded = {}
        if {key: recorded.get(key) for key in settings} != settings:
            raise OutputError(
                f"{out / label}: holds results of other settings; give another --system or --out"
            )
    elif (out / label).exists() and any((out / label).iterdir()):
        raise OutputError(
            f"{out / label}: holds results that were not made here; give another --system or --out"
        )
    check_outputs([out / label], reads, ours=True)


def _note(found: "Benchmark", out: Path, label: str, settings: dict[str, Any]) -> None:
    """Write the settings first: by them what is there is known to be ours."""
    place = found.record_path(out, label)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, {**settings, **provenance()}, indent=1)


def _begun(case: "BenchmarkCase", num_context: int) -> "BenchmarkCase":
    """Note how many frames of context the case's result begins with."""
    return replace(case, facts={**case.facts, "condition_frame_count": num_context})


def _check_case(networks: dict[str, Any], case: "BenchmarkCase", shape: Shape) -> None:
    """Refuse a case that could not be continued."""
    from outofsight.sampling.plan import VideoSize, token_grid

    video, _, target = _inputs(case, shape)
    size = VideoSize(
        height=video.shape[1], width=video.shape[2], context_frames=len(video), target_frames=len(target)
    )
    token_grid(networks["transformer"], networks["vae"], size)


def _inputs(case: "BenchmarkCase", shape: Shape) -> "tuple[Frames, CameraPath, CameraPath]":
    """Read a case's context, and the cameras of both halves, with the lens where it is known."""
    from math import radians

    from outofsight.data.video import fit_intrinsics
    from outofsight.exchange.case import context_of
    from outofsight.types import Intrinsics

    num_context, num_target = shape.frames
    video, context_path = context_of(case, num_context, shape.size)
    context, target = _cameras(case, context_path, num_context, num_target)
    if target.intrinsics is not None:
        target = replace(target, intrinsics=fit_intrinsics(target.intrinsics, *video.shape[1:3]))
    elif shape.fov_x_deg is not None:
        height, width = video.shape[1:3]
        lens = Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=radians(shape.fov_x_deg))
        target = replace(target, intrinsics=lens)
    return video, context, target


def _cameras(
    case: "BenchmarkCase", context_path: "CameraPath | None", num_context: int, num_target: int
) -> "tuple[CameraPath, CameraPath]":
    """Give context and target paths. A case with truth is followed frame for frame, another at the asked length."""
    import numpy as np

    from outofsight.errors import CameraError
    from outofsight.exchange.case import resampled
    from outofsight.types import CameraPath

    target = case.cameras
    if target is None:
        still = np.eye(4)[None, :3] if context_path is None else context_path.world_from_camera[-1:]
        target = CameraPath(world_from_camera=np.repeat(still, num_target, axis=0))
    elif case.truth is not None:
        if len(target) < num_target:
            raise CameraError(
                f"case {case.name}: has {len(target)} frames after the context, {num_target} are asked for; take fewer "
                "(--frames)"
            )
        target = target[:num_target]
    else:
        target = resampled(target, num_target)
    context = context_path or CameraPath(
        world_from_camera=np.repeat(target.world_from_camera[:1], num_context, axis=0), intrinsics=None
    )
    return context, target


@dataclass(frozen=True, kw_only=True)
class WriteCases(Cases):
    """What ``exchange write`` is asked for."""

    videos: Annotated[Path, typer.Option(help="folder of videos, each called as its case")]
    out: Annotated[Path, typer.Option(help="folder of results, in the benchmark's layout")]
    system: Annotated[str, typer.Option(help="name of the system there")]
    context_frames: Annotated[
        int, typer.Option(min=0, help="wrbench: frames of context that each video begins with")
    ] = 0
    dry_run: opt.DryRun = False


@opt.takes(WriteCases)
def write(asked: WriteCases) -> None:
    """Put videos that are there already into a benchmark's layout."""
    from outofsight.evaluation.clips import videos_of

    found, chosen = asked.read()
    videos, out, context_frames = asked.videos, asked.out, asked.context_frames
    if not videos.is_dir():
        raise InputError(f"--videos: there is no folder {videos}")
    there = videos_of(videos)
    answered = [case for case in chosen if case.name in there]
    if not answered:
        raise InputError(f"{videos}: holds no video of a case's name, such as {chosen[0].name}.mp4")
    label = _system(asked.system)
    if context_frames and not found.with_context:
        raise InputError(f"--context-frames: results of {asked.name} hold no context; leave it out")
    settings = {"benchmark": asked.name, "videos": str(videos), "context_frames": context_frames}
    _check_place(found, out, label, settings, [asked.cases, asked.sources, videos])
    if asked.dry_run:
        for case in answered:
            _with_target(there[case.name], context_frames)
        print(f"would write {out / label}: {len(answered)} of {len(chosen)} cases")
        return
    with claimed(out, filled=True):
        _note(found, out, label, settings)
        for case in answered:
            frames, fps = _with_target(there[case.name], context_frames)
            if found.written(out, label, [case]):
                continue
            found.write(out, label, _begun(case, context_frames), frames, fps)
        found.finish(out, label, answered)
    print(f"{out / label}: {len(answered)} of {len(chosen)} cases")


def _with_target(path: Path, num_context: int) -> "tuple[Frames, float]":
    """Read a video that begins with so many frames of context, and goes on."""
    from outofsight.data.video import read_video

    frames, fps = read_video(path)
    if num_context >= len(frames):
        raise InputError(f"{path}: has {len(frames)} frames, --context-frames leaves none of them")
    return frames, fps


@dataclass(frozen=True, kw_only=True)
class ReadCases(Cases):
    """What ``exchange read`` is asked for."""

    results: Annotated[Path, typer.Option(help="folder of results, which holds a folder of each system")]
    system: Annotated[str, typer.Option(help="the system to read")]
    out: Annotated[Path, typer.Option(help="folder for truth/ and SYSTEM/, which evaluate reads")]
    dry_run: opt.DryRun = False


@opt.takes(ReadCases)
def read(asked: ReadCases) -> None:
    """Take results to where `evaluate` reads them: with their truth, or with their context where there is none."""
    from outofsight.data.video import write_video
    from outofsight.files import folder_in_one_piece
    from outofsight.geometry.pose_files import write_poses

    found, chosen = asked.read()
    results, system, out = asked.results, asked.system, asked.out
    if not (results / system).is_dir():
        raise InputError(f"--results: there is no {results / system}; name the folder above the system's")
    there = found.results(results, system, chosen)
    pairs = [(case, there[case.name]) for case in chosen if case.name in there]
    if not pairs:
        raise InputError(
            f"{results / system}: holds no result of these {len(chosen)} cases, such as {chosen[0].name}"
        )
    if system in ("truth", "contexts"):
        raise InputError(f"--system: {system} is a folder of its own in --out; call the system otherwise")
    refuse_existing(out, [asked.cases, results, asked.sources])
    if asked.dry_run:
        for case, path in pairs:
            (_context_and_result if case.truth is None else _truth_and_result)(found, case, path)
        print(f"would write {out}: {len(pairs)} cases")
        return
    with claimed(out), folder_in_one_piece(out) as temporary:
        for case, path in pairs:
            kind = "contexts" if case.truth is None else "truth"
            (temporary / kind).mkdir(exist_ok=True)
            (temporary / system).mkdir(exist_ok=True)
            if case.truth is None:
                given, made, cameras = _context_and_result(found, case, path)
                write_poses(temporary / kind / f"{case.name}.json", cameras, num_context_frames=len(given))
            else:
                given, made = _truth_and_result(found, case, path)
            for folder, video in ((temporary / kind, given), (temporary / system, made)):
                write_video(folder / f"{case.name}.mp4", video, case.fps)
    for kind in ("truth", "contexts"):
        count = sum((case.truth is None) == (kind == "contexts") for case, _ in pairs)
        if count:
            print(
                f"{out}: {count} cases; outofsight evaluate --{kind} {out}/{kind} --videos {system}={out}/{system}"
            )


def _truth_and_result(found: "Benchmark", case: "BenchmarkCase", path: Path) -> "tuple[Frames, Frames]":
    """Read the frames of a result, and the truth of the same ones."""
    from outofsight.exchange.case import frames_of

    assert case.truth is not None
    made = frames_of(path)[found.context_in(path) :]
    most = case.truth_from + len(made)
    truth = frames_of(case.truth, size=made.shape[1:3], most=most)[case.truth_from :]
    return truth, made[: len(truth)]


def _context_and_result(
    found: "Benchmark", case: "BenchmarkCase", path: Path
) -> "tuple[Frames, Frames, CameraPath]":
    """Read a result of which no truth is known: its context, its own frames, and the cameras of both."""
    import numpy as np

    from outofsight.data.video import fit_intrinsics
    from outofsight.exchange.case import context_of, frames_of
    from outofsight.types import CameraPath

    frames, split = frames_of(path), found.context_in(path)
    if split >= len(frames):
        raise InputError(f"{path}: has {len(frames)} frames, its {split} of context leave none of them")
    height, width = frames.shape[1:3]
    made = frames[split:]
    context, told = (frames[:split], None) if split else context_of(case, 1, (height, width))
    before, after = _cameras(case, told, len(context), len(made))
    lens = None if after.intrinsics is None else fit_intrinsics(after.intrinsics, height, width)
    poses = np.concatenate([before.world_from_camera, after.world_from_camera])
    return context, made, CameraPath(world_from_camera=poses, intrinsics=lens)


def score_cameras(
    target: Annotated[
        Path,
        typer.Argument(
            help="the target's poses: .target_c2w.npy, or a pose file (.json); or a system's folder of results"
        ),
    ],
    estimated: Annotated[
        Path,
        typer.Argument(
            help="poses estimated of the result: poses.npy, or a pose file; or a pose cache (pose/NAME/poses.npy)"
        ),
    ],
) -> None:
    """Score how a camera was followed, by WRBench's CamPrec and CamAlign; of more poses the last count."""
    from outofsight.exchange.wrbench import score_system
    from outofsight.exchange.wrbench_cameras import camera_scores

    if target.is_dir():
        print(json.dumps(score_system(target, estimated), indent=1))
        return
    one, other = (_poses(path) for path in (target, estimated))
    scores = camera_scores(one, other[-len(one) :])
    print(json.dumps({key: round(value, 4) for key, value in scores.items()}))


def _poses(path: Path) -> Any:
    from outofsight.exchange.case import matrices_in
    from outofsight.geometry.pose_files import read_poses

    return read_poses(path).world_from_camera if path.suffix.lower() == ".json" else matrices_in(path)
