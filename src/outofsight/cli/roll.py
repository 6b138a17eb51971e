"""``outofsight roll``: walk on through a world, step by step, for as long as one likes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from outofsight.cli.cases import Case, CaseInputs, Shape, read_case
from outofsight.cli.provenance import provenance
from outofsight.cli.rolled_memory import check_banks, check_kept, keep_step, read_steps
from outofsight.cli.values import (
    parse_settings,
    parse_size,
    require_writable,
    text_or_file,
    write_text_atomically,
)
from outofsight.errors import CameraError, InputError, OutputError
from outofsight.model_folders import ModelUse, read_use

if TYPE_CHECKING:
    from outofsight.sampling.rollout import Rollout
    from outofsight.sampling.rollout_step import StepRecord
    from outofsight.sampling.stream_video import GrowingVideo
    from outofsight.sampling.world import WorldModel
    from outofsight.types import CameraPath

STRIDE = 4
"""Video frames in a latent frame of every VAE that there is here."""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What is asked for. ``request``: all that decides what is shown, as it is kept beside the state."""

    case: Case
    shape: Shape
    steps: int
    latent_frames: int
    lap: int | None
    prompts: Mapping[int, str]
    with_context: bool
    save_every: int
    fps: float
    memory_pictures: Path | None
    request: dict[str, Any]

    @property
    def num_frames(self) -> int:
        """Video frames of all steps: the first latent frame of all is one, every later one four."""
        return STRIDE * self.latent_frames * self.steps - (STRIDE - 1)

    @property
    def state(self) -> Path:
        return self.case.out.with_suffix(".rollout")

    @property
    def diary(self) -> Path:
        return self.case.out.with_suffix(".steps.jsonl")


def roll(
    model: Annotated[str, typer.Option(help="mini (bundled), model folder or hub id")],
    video: Annotated[Path, typer.Option(help="context video; its last frames are used")],
    out: Annotated[Path, typer.Option(help="the .mp4 to make; it grows and plays from the first step on")],
    camera: Annotated[str, typer.Option(help="camera file, or the path to come, such as pan:left:60,back")],
    steps: Annotated[int, typer.Option(min=1, help="steps to make in all")],
    prompt: Annotated[str, typer.Option(help="caption, or a text file that holds it")],
    context_camera: Annotated[
        str | None,
        typer.Option(help="how the camera moved in the context, if --camera is a path: file or path"),
    ] = None,
    latent_frames: Annotated[
        int, typer.Option(min=1, help="latent frames of a step; each is 4 video frames")
    ] = 3,
    lap: Annotated[
        int | None,
        typer.Option(
            min=1, help="repeat the camera's path every so many frames; it must come back to its start"
        ),
    ] = None,
    prompt_at: Annotated[
        list[str] | None, typer.Option(help="another caption from a step on: 12:Snow begins to fall.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH: scale to cover and crop (default: the model's)")
    ] = None,
    context_frames: Annotated[
        int | None, typer.Option(min=1, help="frames of context, 4k+1 (default: the model's, or 77)")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the noise")] = 42,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="sampling settings: num_steps=8, guidance_scale=1")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="remember by another strategy with the same weights")
    ] = None,
    with_context: Annotated[bool, typer.Option(help="put the context in front")] = False,
    memory_pictures: Annotated[
        Path | None, typer.Option(help="a folder for pictures of what memory held (models with banks)")
    ] = None,
    save_every: Annotated[int, typer.Option(min=1, help="steps from one saved state to the next")] = 1,
    resume: Annotated[bool, typer.Option(help="go on where an earlier run stopped")] = False,
    overwrite: Annotated[bool, typer.Option(help="begin anew where a walk is there already")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[str | None, typer.Option(help="default: bfloat16 on a GPU, float32 on a CPU")] = None,
    offload: Annotated[str, typer.Option(help="keep weights off the GPU: none or model")] = "none",
    dry_run: Annotated[bool, typer.Option(help="check everything and say what would be done")] = False,
) -> None:
    """Walk on through a video's world: frames, state and a line for each step are written as they come."""
    if out.suffix != ".mp4":
        raise InputError(f"--out: expected the name of an .mp4 file, got {out}")
    if offload == "sequential":
        raise InputError("--offload sequential: a rollout's state cannot be told by its weights; use model")
    use = read_use(model)
    case = Case(
        name=video.stem,
        video=video,
        camera=camera,
        context_camera=context_camera,
        prompt=text_or_file(prompt, "--prompt"),
        out=out,
    )
    sampling = _sampling(use, seed, settings or [])
    request = {
        "model": model, "strategy": strategy, "video": str(video), "camera": camera,
        "context_camera": context_camera, "prompt": case.prompt, "latent_frames": latent_frames, "lap": lap,
        "path_frames": None, "sampling": sampling, "with_context": with_context, "dtype": dtype,
    }  # fmt: skip
    if not lap and not (camera.endswith(".json") or Path(camera).is_file()):
        # A path in words is spread over all steps: with more of them it is another path.
        request["path_frames"] = STRIDE * latent_frames * steps - (STRIDE - 1)
    walk = Walk(
        case=case,
        shape=Shape(
            frames=(context_frames or use.num_context_frames, 1),
            size=parse_size(size) if size else use.size,
            repairs=(),
        ),
        steps=steps,
        latent_frames=latent_frames,
        lap=lap,
        prompts=_prompts(prompt_at or [], steps),
        with_context=with_context,
        save_every=save_every,
        fps=use.fps,
        memory_pictures=memory_pictures,
        request=request,
    )
    _check_outputs(walk, resume=resume, overwrite=overwrite)
    inputs, path = read_walk(walk)
    console = Console(stderr=True)
    if dry_run:
        console.print(f"would write {out}: {walk.num_frames} frames in {steps} steps", soft_wrap=True)
        return
    require_writable(out.parent)
    world = _load(model, device, dtype, offload, strategy)
    if memory_pictures is not None:
        check_banks(world)
    rollout, shown = _resumed(world, walk, console) if resume else _started(world, walk, inputs, sampling)
    _go(walk, rollout, shown, path, console)
    if memory_pictures is not None:
        _draw(memory_pictures, rollout, use.fps / STRIDE)
    console.print(
        f"wrote {out}: {rollout.num_frames} frames in {rollout.num_steps} steps; go on with --resume and more --steps",
        soft_wrap=True,
    )


def read_walk(walk: Walk) -> "tuple[CaseInputs, CameraPath]":
    """Read the context, and the cameras of all steps.

    Raises:
        CameraError: too few poses, or a path to repeat that does not come back to its start.
        VideoError: a missing or damaged video, or too few frames.
    """
    import numpy as np

    from outofsight.sampling.rollout_state import RolloutLimits, apart
    from outofsight.types import CameraPath

    asked = walk.lap or walk.num_frames
    shape = Shape(frames=(walk.shape.frames[0], asked), size=walk.shape.size, repairs=())
    try:
        inputs = read_case(walk.case, shape)
    except CameraError as error:
        if "target poses" not in str(error):
            raise
        raise CameraError(
            f"{walk.case.camera}: has too few target poses for {walk.steps} steps of {walk.latent_frames} latent "
            f"frames, which are {walk.num_frames} video frames; ask for fewer --steps, or repeat it with --lap"
        ) from error
    if not isinstance(inputs.target, CameraPath):
        raise CameraError(
            f"{walk.case.camera}: holds relative poses of one clip, which do not go on; give poses in a world"
        )
    poses = inputs.target.world_from_camera
    if walk.lap is None:
        return inputs, inputs.target
    moved, turned = apart(poses[-1], poses[0])
    limits = RolloutLimits()
    if moved > limits.max_move_m or turned > limits.max_turn_deg:
        raise CameraError(
            f"{walk.case.camera}: does not come back to its start ({moved:.3g} m and {turned:.3g}° apart after "
            f"{walk.lap} frames), so it cannot be repeated; end it with back, or leave out --lap"
        )
    laps = -(-walk.num_frames // walk.lap)
    repeated = np.concatenate([poses] * laps)[: walk.num_frames]
    return inputs, CameraPath(world_from_camera=repeated, intrinsics=inputs.target.intrinsics)


def _sampling(use: ModelUse, seed: int, pairs: list[str]) -> dict[str, Any]:
    from outofsight.sampling.continuation import check_settings

    given = parse_settings(pairs)
    if "seed" in given:
        raise InputError("--set seed: this setting has an option of its own; see --help")
    defaults = {"num_steps": use.num_steps, "guidance_scale": use.guidance_scale}
    return asdict(check_settings(**{**defaults, **given, "seed": seed}))


def _prompts(pairs: list[str], steps: int) -> dict[int, str]:
    """Read "12:Snow begins to fall." """
    prompts = {}
    for pair in pairs:
        step, colon, text = pair.partition(":")
        if not colon or not step.isdigit() or not 1 <= int(step) <= steps:
            raise InputError(f"--prompt-at: expected STEP:CAPTION with a step of 1 to {steps}, got {pair!r}")
        prompts[int(step)] = text_or_file(text, "--prompt-at")
    return prompts


def _check_outputs(walk: Walk, *, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise InputError("--resume goes on, --overwrite begins anew; give one of them")
    there = walk.state.exists()
    if resume and not there:
        raise InputError(f"--resume: there is no state in {walk.state}; leave it out to begin a walk")
    if not resume and not overwrite and (there or walk.case.out.exists()):
        raise OutputError(
            f"{walk.case.out} is there already; go on with --resume, give another --out, or --overwrite"
        )


def _load(model: str, device: str, dtype: str | None, offload: str, strategy: str | None) -> "WorldModel":
    from outofsight.cli.loading import load_world

    world = load_world(model, device, dtype, offload)
    if strategy is not None:
        world.remember_by(strategy)
    return world


def _started(
    world: "WorldModel", walk: Walk, inputs: CaseInputs, sampling: dict[str, Any]
) -> "tuple[Rollout, GrowingVideo]":
    """Begin a walk. The state comes first, so that what belongs to no state is never taken for a walk."""
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.sampling.rollout_state import RolloutLimits
    from outofsight.sampling.stream_video import GrowingVideo

    assert inputs.context is not None
    rollout = world.start(
        inputs.video,
        inputs.context,
        walk.case.prompt,
        settings=SamplingSettings(**sampling),
        limits=RolloutLimits(keep_steps=0),
    )
    rollout.notes = {"request": walk.request, "num_context_frames": len(inputs.video), **provenance()}
    shown = GrowingVideo(walk.case.out, fps=walk.fps)
    if walk.with_context:
        shown.append(inputs.video)
    _save(walk, rollout, shown)
    write_text_atomically(walk.diary, "")
    return rollout, shown


def _resumed(world: "WorldModel", walk: Walk, console: Console) -> "tuple[Rollout, GrowingVideo]":
    """Stand where an earlier run stopped: video and diary are cut back to what the state has seen."""
    from outofsight.sampling.stream_video import GrowingVideo

    rollout = world.resume(walk.state)
    made = rollout.notes.get("request", {})
    if other := [name for name, value in walk.request.items() if made.get(name) != _plain(value)]:
        raise InputError(
            f"--resume: {walk.state} was begun with {other[0]}={made.get(other[0])!r}, not "
            f"{_plain(walk.request[other[0]])!r}; give what it was begun with"
        )
    context, asked = rollout.notes["num_context_frames"], walk.shape.frames[0]
    if context != asked:
        raise InputError(
            f"--resume: {walk.state} was begun with a context of {context} frames, not {asked}; give "
            f"--context-frames={context}"
        )
    if walk.memory_pictures is not None:
        check_kept(walk.memory_pictures, rollout.num_steps)
    shown = GrowingVideo(walk.case.out, fps=walk.fps, **rollout.notes["video"])
    # Lines end in "\n" alone: a caption may hold other signs that splitlines() takes for an end. A walk that was
    # killed at its very beginning has no diary yet.
    written = walk.diary.read_text(encoding="utf-8") if walk.diary.exists() else ""
    lines = [line + "\n" for line in written.split("\n") if line]
    write_text_atomically(walk.diary, "".join(lines[: rollout.num_steps]))
    console.print(f"{walk.state}: goes on after step {rollout.num_steps}", soft_wrap=True)
    return rollout, shown


def _go(
    walk: Walk,
    rollout: "Rollout",
    shown: "GrowingVideo",
    path: "CameraPath",
    console: Console,
) -> None:
    """Make the steps that are left; after each, the video, and then the state, are whole on the disk."""
    columns = (TextColumn("step {task.completed}/{task.total}"), BarColumn())
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("steps", total=walk.steps, completed=rollout.num_steps)
        for step in range(rollout.num_steps + 1, walk.steps + 1):
            if step in walk.prompts:
                rollout.prompt = walk.prompts[step]
            count = STRIDE * walk.latent_frames - (STRIDE - 1 if step == 1 else 0)
            frames = rollout.step(path[rollout.num_frames : rollout.num_frames + count])
            shown.append(frames)
            if walk.memory_pictures is not None:
                keep_step(walk.memory_pictures, rollout.records[-1], frames)
            with walk.diary.open("a", encoding="utf-8") as diary:
                diary.write(json.dumps(_line(rollout.records[-1]), ensure_ascii=False) + "\n")
            if step % walk.save_every == 0 or step == walk.steps:
                _save(walk, rollout, shown)
            progress.update(task, completed=step)


def _draw(folder: Path, rollout: "Rollout", fps: float) -> None:
    from math import radians

    from outofsight.evaluation.memory_pictures import memory_pictures

    fov_x_rad = radians(rollout.world.transformer.config["camera_fov_x_deg"])
    memory_pictures(read_steps(folder, rollout.num_steps), folder, fov_x_rad, fps=fps)


def _save(walk: Walk, rollout: "Rollout", shown: "GrowingVideo") -> None:
    rollout.notes["video"] = {"num_frames": shown.num_frames, "num_bytes": shown.num_bytes}
    rollout.save(walk.state)


def _line(record: "StepRecord") -> dict[str, Any]:
    """Say what a step did: how long each stage took, and which slots each coming frame looked at, how much."""
    line: dict[str, Any] = {
        "step": record.step,
        "prompt": record.prompt,
        "first_frame": record.first_frame,
        "num_frames": record.num_frames,
        "seconds": {stage: round(seconds, 4) for stage, seconds in record.seconds.items()},
    }
    if record.scores is not None:
        line["slots"] = list(record.slots)
        line["scores"] = [[round(score, 4) for score in frame] for frame in record.scores.tolist()]
    return line


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
