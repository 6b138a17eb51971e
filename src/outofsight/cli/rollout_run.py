"""The rollout of ``outofsight roll``: context and cameras are read, steps made, from the first or where it stopped."""

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
    import torch

    from outofsight.sampling.plan import VideoSize
    from outofsight.sampling.rollout import Rollout
    from outofsight.sampling.rollout_step import StepRecord
    from outofsight.sampling.stream_video import GrowingVideo
    from outofsight.sampling.world import WorldModel
    from outofsight.types import CameraPath


@dataclass(frozen=True, kw_only=True)
class RolloutModel:
    """A model, and how it is run. ``strategy``: how it remembers, ``None``: as it was trained;
    ``sampling``: settings of every step; ``vae``: a tiny decoder's file, which decodes in the VAE's place."""

    model: str
    strategy: str | None
    sampling: dict[str, Any]
    device: str
    dtype: str | None
    offload: str
    vae: Path | None
    quantize: str


@dataclass(frozen=True, kw_only=True)
class RolloutPlan:
    """What is asked for. ``request``: all that decides what is shown, as it is kept beside the state."""

    model: RolloutModel
    case: Case
    shape: Shape
    steps: int
    latent_frames: int
    loop_frames: int | None
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
    def log(self) -> Path:
        return self.case.out.with_suffix(".steps.jsonl")


def run_rollout(plan: RolloutPlan, *, resume: bool, overwrite: bool, dry_run: bool) -> None:
    """Make a rollout, or go on with it. All that can be wrong with the request is found before the model is loaded.

    Raises:
        InputError: inputs that are missing, damaged or do not fit.
        OutputError: a rollout is there already, or cannot be written.
    """
    from outofsight.cli.loading import check_loading

    goes_on = _check_outputs(plan, resume=resume, overwrite=overwrite)
    device, dtype = check_loading(
        plan.model.device, plan.model.dtype, plan.model.offload, plan.model.quantize
    )
    inputs, path = read_inputs(plan)
    _check_room(plan, _check_model(plan, inputs, dry_run=dry_run), device, dtype)
    pictures = plan.memory_pictures
    truth = None if pictures is None or plan.case.clip is None else read_truth(plan.case.clip, inputs)
    console, out = Console(stderr=True), plan.case.out
    for note in inputs.notes:
        console.print(note, soft_wrap=True, markup=False)
    if dry_run:
        console.print(
            f"would write {out}: {plan.num_frames} frames in {plan.steps} steps", soft_wrap=True, markup=False
        )
        return
    with ExitStack() as held:
        held.enter_context(claimed(out))
        if pictures is not None:
            held.enter_context(claimed(pictures, filled=True))
        world = _load(plan.model)
        rollout, shown = _resumed(world, plan, inputs, console) if goes_on else _started(world, plan, inputs)
        _go(plan, rollout, shown, path, console)
        if pictures is not None:
            report = draw_steps(pictures, rollout, plan.fps / WAN_CLOCK.stride, inputs, truth)
            if plan.case.clip is not None:
                report = (
                    report
                    or f"{plan.case.clip} does not say where its subjects are; the map is without truth"
                )
                console.print(report, soft_wrap=True, markup=False)
    console.print(
        f"wrote {out}: {rollout.num_frames} frames in {rollout.num_steps} steps; more --steps go on from there",
        soft_wrap=True, markup=False,
    )  # fmt: skip


def read_inputs(plan: RolloutPlan) -> "tuple[CaseInputs, CameraPath]":
    """Read the context, and the cameras of all steps.

    Raises:
        CameraError: too few poses, or a path to repeat that does not come back to its start.
        VideoError: a missing or damaged video, or too few frames.
    """
    import numpy as np

    from outofsight.sampling.rollout_state import RolloutLimits, apart
    from outofsight.types import CameraPath

    asked = plan.loop_frames or plan.num_frames
    shape = replace(plan.shape, frames=(plan.shape.frames[0], asked))
    try:
        inputs = read_case(plan.case, shape)
    except CameraError as error:
        if "target poses" not in str(error):
            raise
        raise CameraError(
            f"{plan.case.camera}: has too few target poses for {plan.steps} steps of {plan.latent_frames} latent "
            f"frames, which are {plan.num_frames} video frames; ask for fewer --steps, or repeat it with --loop-frames"
        ) from error
    if not isinstance(inputs.target, CameraPath):
        raise CameraError(
            f"{plan.case.camera}: holds relative poses of one clip, which do not go on; give poses in a world"
        )
    poses = inputs.target.world_from_camera
    if plan.loop_frames is None:
        return inputs, inputs.target
    moved, turned = apart(poses[-1], poses[0])
    limits = RolloutLimits()
    if moved > limits.max_move_m or turned > limits.max_turn_deg:
        raise CameraError(
            f"{plan.case.camera}: does not come back to its start ({moved:.3g} m and {turned:.3g}° apart after "
            f"{plan.loop_frames} frames), so it cannot be repeated; end it with back, or leave out --loop-frames"
        )
    loops = -(-plan.num_frames // plan.loop_frames)
    repeated = np.concatenate([poses] * loops)[: plan.num_frames]
    return inputs, CameraPath(world_from_camera=repeated, intrinsics=inputs.target.intrinsics)


def _check_outputs(plan: RolloutPlan, *, resume: bool, overwrite: bool) -> bool:
    """See that nothing is written over that is not this rollout's; say whether there is one to go on with."""
    if resume and overwrite:
        raise InputError("--resume goes on, --overwrite begins anew; give one of them")
    there = (plan.state / "rollout.json").is_file()
    reads = [*files_of(plan.case), plan.case.clip, plan.model.model, plan.model.vae]
    check_outputs([plan.case.out, plan.state, plan.log], reads, ours=there)
    if plan.memory_pictures is not None:
        own = (plan.memory_pictures / "steps").is_dir()
        check_outputs([plan.memory_pictures], reads, ours=own)
    if not there or overwrite:
        return False
    if not resume and (other := _other_request(plan, _request_of(plan.state))):
        raise OutputError(f"{plan.case.out}: {other}; give another --out, or --overwrite")
    return True


def _request_of(state: Path) -> dict[str, Any]:
    """Read what a rollout was begun with; nothing where its state is damaged, which its reader will say."""
    try:
        notes = json.loads((state / "rollout.json").read_bytes())["notes"]
        return {**_present(notes["request"]), "num_context_frames": notes["num_context_frames"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _present(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request that was written down, by the names that its settings have now."""
    loop_frames = request.get("loop_frames", request.get("lap"))  # of earlier versions
    return {**request, "loop_frames": loop_frames, "sampling": present_names(request.get("sampling", {}))}


def _other_request(plan: RolloutPlan, made: Mapping[str, Any]) -> str | None:
    """Say what is asked for otherwise than a rollout was begun with."""
    for name, value in plan.request.items() if made else ():
        then, now = made.get(name), _plain(value)
        if then != now:
            if isinstance(then, Mapping) and isinstance(
                now, Mapping
            ):  # of many settings one is enough to tell
                name = next(key for key in {**then, **now} if then.get(key) != now.get(key))
                then, now = then.get(name), now.get(name)
            shown = ["nothing" if each is None else f"{each!r:.200}" for each in (then, now)]
            return f"was begun with {name}={shown[0]}, not {shown[1]}; give what it was begun with"
    context, asked = made.get("num_context_frames"), plan.shape.frames[0]
    if made and context != asked:
        return f"was begun with a context of {context} frames, not {asked}; give --context-frames={context}"
    return None


def _check_model(plan: RolloutPlan, inputs: CaseInputs, *, dry_run: bool) -> "VideoSize":
    """Find what is wrong with the model, the strategy or the video's size before anything is loaded; give the size."""
    from outofsight.cli.loading import empty_model
    from outofsight.sampling.plan import VideoSize, token_grid

    model = plan.model
    networks = empty_model(model.model, model.strategy, whole=dry_run, decoder=model.vae)
    transformer = networks["transformer"]
    context, height, width = inputs.video.shape[:3]
    size = VideoSize(height=height, width=width, context_frames=context, target_frames=1)
    token_grid(transformer, networks["vae"], size)
    if plan.memory_pictures is not None:
        check_banks(transformer)
    return size


def _check_room(plan: RolloutPlan, size: "VideoSize", device: "torch.device", dtype: "torch.dtype") -> None:
    from outofsight.cli.loading import check_room
    from outofsight.sampling.card_fit import GpuRun, rollout_bytes

    model, latent_frames = plan.model, plan.latent_frames
    run = GpuRun(
        guided=model.sampling["guidance_scale"] != 1, offload=model.offload, quantize=model.quantize,
        tiny_decoder=model.vae is not None,
    )  # fmt: skip
    check_room(
        model.model, dtype, device, run, lambda networks: rollout_bytes(networks, size, latent_frames, run),
        model.strategy,
    )  # fmt: skip


def _load(model: RolloutModel) -> "WorldModel":
    from outofsight.cli.loading import load_world

    world = load_world(model.model, model.device, model.dtype, model.offload, model.vae, model.quantize)
    if model.strategy is not None:
        world.set_memory(model.strategy)
    return world


def _started(world: "WorldModel", plan: RolloutPlan, inputs: CaseInputs) -> "tuple[Rollout, GrowingVideo]":
    """Begin a rollout. The state comes first, so that what belongs to no state is never taken for one."""
    from outofsight.cli.lenses import lens_record
    from outofsight.sampling.continuation import SamplingSettings
    from outofsight.sampling.rollout_state import RolloutLimits
    from outofsight.sampling.stream_video import GrowingVideo

    assert inputs.context is not None
    rollout = world.start(
        inputs.video,
        inputs.context,
        plan.case.prompt,
        settings=SamplingSettings(**plan.model.sampling),
        limits=RolloutLimits(keep_steps=0),
    )
    lens = lens_record(world, inputs.lens, *inputs.video.shape[1:3])
    facts = {"request": plan.request, "num_context_frames": len(inputs.video), "intrinsics": lens}
    rollout.notes = {**facts, **provenance()}
    rollout.notes["video"] = {"num_frames": 0, "num_bytes": 0}
    rollout.save(plan.state)
    write_text(plan.log, "")
    return rollout, _begun(GrowingVideo(plan.case.out, fps=plan.fps), plan, inputs)


def _begun(shown: "GrowingVideo", plan: RolloutPlan, inputs: CaseInputs) -> "GrowingVideo":
    """Put the context in front of a video that holds nothing yet, if it is asked for."""
    if plan.with_context and not shown.num_frames:
        shown.append(inputs.video)
    return shown


def _resumed(
    world: "WorldModel", plan: RolloutPlan, inputs: CaseInputs, console: Console
) -> "tuple[Rollout, GrowingVideo]":
    """Stand where an earlier run stopped: video and log are cut back to what the state has seen."""
    from outofsight.sampling.stream_video import GrowingVideo

    rollout = world.resume(plan.state)
    made = {
        **_present(rollout.notes.get("request", {})),
        "num_context_frames": rollout.notes["num_context_frames"],
    }
    if other := _other_request(plan, made):
        raise InputError(f"--resume: {plan.state} {other}")
    if plan.memory_pictures is not None:
        check_kept(plan.memory_pictures, rollout.num_steps)
    shown = GrowingVideo(plan.case.out, fps=plan.fps, **rollout.notes["video"])
    # Lines end in "\n" alone: a caption may hold other signs that splitlines() takes for an end. A rollout that
    # was killed at its very beginning has no log yet.
    written = plan.log.read_bytes().split(b"\n") if plan.log.exists() else []
    lines = [line for line in written if line][: rollout.num_steps]
    write_text(plan.log, "".join(f"{line.decode()}\n" for line in lines))
    console.print(f"{plan.state}: goes on after step {rollout.num_steps}", soft_wrap=True, markup=False)
    return rollout, _begun(shown, plan, inputs)


def _go(
    plan: RolloutPlan,
    rollout: "Rollout",
    shown: "GrowingVideo",
    path: "CameraPath",
    console: Console,
) -> None:
    """Make the steps that are left; after each, the video, and then the state, are whole on the disk."""
    with shown_progress(console, "steps", plan.steps) as show:
        for step in range(rollout.num_steps + 1, plan.steps + 1):
            if step in plan.prompts:
                rollout.prompt = plan.prompts[step]
            count = WAN_CLOCK.num_frames(plan.latent_frames, goes_on=step > 1)
            frames = rollout.step(path[rollout.num_frames : rollout.num_frames + count])
            shown.append(frames)
            if plan.memory_pictures is not None:
                keep_step(plan.memory_pictures, rollout.records[-1], frames)
            with explained(plan.log), plan.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(_line(rollout.records[-1]), ensure_ascii=False) + "\n")
            if step % plan.save_every == 0 or step == plan.steps:
                _save(plan, rollout, shown)
            show(step, plan.steps, f"step {step}")


def _save(plan: RolloutPlan, rollout: "Rollout", shown: "GrowingVideo") -> None:
    rollout.notes["video"] = {"num_frames": shown.num_frames, "num_bytes": shown.num_bytes}
    rollout.save(plan.state)


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
