"""A walk of ``outofsight roll``: context and cameras are read, steps are made, from the first or where it stopped."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from outofsight.cli.cases import Case, CaseInputs, Shape, files_of, read_case
from outofsight.cli.progress import shown_progress
from outofsight.cli.provenance import provenance
from outofsight.cli.rolled_memory import check_banks, check_kept, draw_steps, keep_step, read_truth
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import CameraError, InputError, OutputError
from outofsight.files import explained, write_text
from outofsight.model_folders import present_names
from outofsight.types import WAN_CLOCK

if TYPE_CHECKING:
    from outofsight.sampling.rollout import Rollout
    from outofsight.sampling.rollout_step import StepRecord
    from outofsight.sampling.stream_video import GrowingVideo
    from outofsight.sampling.world import WorldModel
    from outofsight.types import CameraPath


@dataclass(frozen=True, kw_only=True)
class Walker:
    """Who walks: a model, and how it is run. ``strategy``: how it remembers, ``None``: as it was trained;
    ``sampling``: settings of every step; ``vae``: a tiny decoder's file, which decodes in the VAE's place."""

    model: str
    strategy: str | None
    sampling: dict[str, Any]
    device: str
    dtype: str | None
    offload: str
    vae: Path | None


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What is asked for. ``request``: all that decides what is shown, as it is kept beside the state."""

    walker: Walker
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
        """Video frames of all steps."""
        return WAN_CLOCK.num_frames(self.steps * self.latent_frames)

    @property
    def state(self) -> Path:
        return self.case.out.with_suffix(".rollout")

    @property
    def diary(self) -> Path:
        return self.case.out.with_suffix(".steps.jsonl")


def walk_on(walk: Walk, *, resume: bool, overwrite: bool, dry_run: bool) -> None:
    """Make a walk, or go on with it. All that can be wrong with the request is found before the model is loaded.

    Raises:
        InputError: inputs that are missing, damaged or do not fit.
        OutputError: a walk is there already, or cannot be written.
    """
    from outofsight.cli.loading import check_loading

    goes_on = _check_outputs(walk, resume=resume, overwrite=overwrite)
    check_loading(walk.walker.device, walk.walker.dtype, walk.walker.offload)
    inputs, path = read_walk(walk)
    _check_model(walk, inputs, dry_run=dry_run)
    pictures = walk.memory_pictures
    truth = None if pictures is None or walk.case.clip is None else read_truth(walk.case.clip, inputs)
    console, out = Console(stderr=True), walk.case.out
    for note in inputs.notes:
        console.print(note, soft_wrap=True, markup=False)
    if dry_run:
        console.print(
            f"would write {out}: {walk.num_frames} frames in {walk.steps} steps", soft_wrap=True, markup=False
        )
        return
    with ExitStack() as held:
        held.enter_context(claimed(out))
        if pictures is not None:
            held.enter_context(claimed(pictures, filled=True))
        world = _load(walk.walker)
        rollout, shown = _resumed(world, walk, inputs, console) if goes_on else _started(world, walk, inputs)
        _go(walk, rollout, shown, path, console)
        if pictures is not None:
            told = draw_steps(pictures, rollout, walk.fps / WAN_CLOCK.stride, inputs, truth)
            if walk.case.clip is not None:
                told = (
                    told or f"{walk.case.clip} does not say where its subjects are; the map is without truth"
                )
                console.print(told, soft_wrap=True, markup=False)
    console.print(
        f"wrote {out}: {rollout.num_frames} frames in {rollout.num_steps} steps; more --steps go on from there",
        soft_wrap=True, markup=False,
    )  # fmt: skip


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
    shape = replace(walk.shape, frames=(walk.shape.frames[0], asked))
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


def _check_outputs(walk: Walk, *, resume: bool, overwrite: bool) -> bool:
    """See that nothing is written over that is not this walk's; tell whether there is a walk to go on with."""
    if resume and overwrite:
        raise InputError("--resume goes on, --overwrite begins anew; give one of them")
    there = (walk.state / "rollout.json").is_file()
    reads = [*files_of(walk.case), walk.case.clip, walk.walker.model, walk.walker.vae]
    check_outputs([walk.case.out, walk.state, walk.diary], reads, ours=there)
    if walk.memory_pictures is not None:
        own = (walk.memory_pictures / "steps").is_dir()
        check_outputs([walk.memory_pictures], reads, ours=own)
    if not there or overwrite:
        return False
    if not resume and (other := _other_request(walk, _request_of(walk.state))):
        raise OutputError(f"{walk.case.out}: {other}; give another --out, or --overwrite")
    return True


def _request_of(state: Path) -> dict[str, Any]:
    """Read what a walk was begun with; nothing where its state is damaged, which its reader will tell."""
    try:
        notes = json.loads((state / "rollout.json").read_bytes())["notes"]
        return {**_present(notes["request"]), "num_context_frames": notes["num_context_frames"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _present(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request that was written down, its sampling settings by the names that they have now."""
    return {**request, "sampling": present_names(request.get("sampling", {}))}


def _other_request(walk: Walk, made: Mapping[str, Any]) -> str | None:
    """Say what is asked for otherwise than a walk was begun with."""
    for name, value in walk.request.items() if made else ():
        if made.get(name) != _plain(value):
            return f"was begun with {name}={made.get(name)!r}, not {_plain(value)!r}; give what it was begun with"
    context, asked = made.get("num_context_frames"), walk.shape.frames[0]
    if made and context != asked:
        return f"was begun with a context of {context} frames, not {asked}; give --context-frames={context}"
    return None


def _check_model(walk: Walk, inputs: CaseInputs, *, dry_run: bool) -> None:
    """Find what is wrong with the model, the strategy or the video's size before anything is loaded."""
    from outofsight.cli.loading import empty_model
    from outofsight.sampling.plan import VideoSize, token_grid

    walker = walk.walker
    networks = empty_model(walker.model, walker.strategy, whole=dry_run, decoder=walker.vae)
    transformer = networks["transformer"]
    context, height, width = inputs.video.shape[:3]
    size = VideoSize(height=height, width=width, context_frames=context, target_frames=1)
    token_grid(transformer, networks["vae"], size)
    if walk.memory_pictures is not None:
        check_banks(transformer)


def _load(walker: Walker) -> "WorldModel":
    from outofsight.cli.loading import load_world

    world = load_world(walker.model, walker.device, walker.dtype, walker.offload, walker.vae)
    if walker.strategy is not None:
        world.remember_by(walker.strategy)
    return world


def _started(world: "WorldModel", walk: Walk, inputs: CaseInputs) -> "tuple[Rollout, GrowingVideo]":
    """Begin a walk. The state comes first, so that what belongs to no state is never taken for a walk."""
    from outofsight.cli.lenses import lens_record
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.sampling.rollout_state import RolloutLimits
    from outofsight.sampling.stream_video import GrowingVideo

    assert inputs.context is not None
    rollout = world.start(
        inputs.video,
        inputs.context,
        walk.case.prompt,
        settings=SamplingSettings(**walk.walker.sampling),
        limits=RolloutLimits(keep_steps=0),
    )
    lens = lens_record(world, inputs.lens, *inputs.video.shape[1:3])
    facts = {"request": walk.request, "num_context_frames": len(inputs.video), "intrinsics": lens}
    rollout.notes = {**facts, **provenance()}
    rollout.notes["video"] = {"num_frames": 0, "num_bytes": 0}
    rollout.save(walk.state)
    write_text(walk.diary, "")
    return rollout, _begun(GrowingVideo(walk.case.out, fps=walk.fps), walk, inputs)


def _begun(shown: "GrowingVideo", walk: Walk, inputs: CaseInputs) -> "GrowingVideo":
    """Put the context in front of a video that holds nothing yet, if it is asked for."""
    if walk.with_context and not shown.num_frames:
        shown.append(inputs.video)
    return shown


def _resumed(
    world: "WorldModel", walk: Walk, inputs: CaseInputs, console: Console
) -> "tuple[Rollout, GrowingVideo]":
    """Stand where an earlier run stopped: video and diary are cut back to what the state has seen."""
    from outofsight.sampling.stream_video import GrowingVideo

    rollout = world.resume(walk.state)
    made = {
        **_present(rollout.notes.get("request", {})),
        "num_context_frames": rollout.notes["num_context_frames"],
    }
    if other := _other_request(walk, made):
        raise InputError(f"--resume: {walk.state} {other}")
    if walk.memory_pictures is not None:
        check_kept(walk.memory_pictures, rollout.num_steps)
    shown = GrowingVideo(walk.case.out, fps=walk.fps, **rollout.notes["video"])
    # Lines end in "\n" alone: a caption may hold other signs that splitlines() takes for an end. A walk that was
    # killed at its very beginning has no diary yet.
    written = walk.diary.read_text(encoding="utf-8") if walk.diary.exists() else ""
    lines = [line + "\n" for line in written.split("\n") if line]
    write_text(walk.diary, "".join(lines[: rollout.num_steps]))
    console.print(f"{walk.state}: goes on after step {rollout.num_steps}", soft_wrap=True, markup=False)
    return rollout, _begun(shown, walk, inputs)


def _go(
    walk: Walk,
    rollout: "Rollout",
    shown: "GrowingVideo",
    path: "CameraPath",
    console: Console,
) -> None:
    """Make the steps that are left; after each, the video, and then the state, are whole on the disk."""
    with shown_progress(console, "steps", walk.steps) as show:
        for step in range(rollout.num_steps + 1, walk.steps + 1):
            if step in walk.prompts:
                rollout.prompt = walk.prompts[step]
            count = WAN_CLOCK.num_frames(walk.latent_frames, goes_on=step > 1)
            frames = rollout.step(path[rollout.num_frames : rollout.num_frames + count])
            shown.append(frames)
            if walk.memory_pictures is not None:
                keep_step(walk.memory_pictures, rollout.records[-1], frames)
            with explained(walk.diary), walk.diary.open("a", encoding="utf-8") as diary:
                diary.write(json.dumps(_line(rollout.records[-1]), ensure_ascii=False) + "\n")
            if step % walk.save_every == 0 or step == walk.steps:
                _save(walk, rollout, shown)
            show(step, walk.steps, f"step {step}")


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
