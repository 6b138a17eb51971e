"""The rollout of ``outofsight roll``: context and cameras are read, steps made, from the first or where it stopped."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from outofsight.cli.cases import CaseInputs, files_of, read_case
from outofsight.cli.progress import say, shown_progress
from outofsight.cli.provenance import provenance
from outofsight.cli.rolled_memory import check_banks, check_kept, draw_steps, keep_step, read_truth
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import CameraError, InputError, OutputError
from outofsight.files import explained, write_text
from outofsight.model_folders import present_names
from outofsight.types import WAN_CLOCK

if TYPE_CHECKING:
    from outofsight.cli.roll import Roll
    from outofsight.sampling.rollout import Rollout
    from outofsight.sampling.rollout_step import StepRecord
    from outofsight.sampling.stream_video import GrowingVideo
    from outofsight.sampling.world import WorldModel
    from outofsight.types import CameraPath


def run_rollout(plan: "Roll") -> None:
    """Make a rollout, or go on with it. All that can be wrong with the request is found before the model is loaded.

    Raises:
        InputError: inputs that are missing, damaged or do not fit.
        OutputError: a rollout is there already, or cannot be written.
    """
    from outofsight.cli.loading import check_loading, load_world

    prompts, goes_on = plan.prompts, _check_outputs(plan)
    check_loading(plan)
    inputs, path = read_inputs(plan)
    _check_model(plan, inputs)
    pictures, clip = plan.memory_pictures, plan.case.clip
    truth = None if pictures is None or clip is None else read_truth(clip, inputs)
    for note in inputs.notes:
        say(note)
    if plan.dry_run:
        say(f"would write {plan.out}: {plan.num_frames} frames in {plan.steps} steps")
        return
    with claimed(plan.out), nullcontext() if pictures is None else claimed(pictures, filled=True):
        world = load_world(plan)
        rollout, shown = _resumed(world, plan) if goes_on else _started(world, plan, inputs)
        if plan.with_context and not shown.num_frames:
            shown.append(inputs.video)
        _go(plan, prompts, rollout, shown, path)
        if pictures is not None:
            report = draw_steps(pictures, rollout, plan.use.fps / WAN_CLOCK.stride, inputs, truth)
            if clip is not None:
                say(report or f"{clip} does not say where its subjects are; the map is without truth")
    say(
        f"wrote {plan.out}: {rollout.num_frames} frames in {rollout.num_steps} steps; more --steps go on from there"
    )


def read_inputs(plan: "Roll") -> "tuple[CaseInputs, CameraPath]":
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


def _check_outputs(plan: "Roll") -> bool:
    """See that nothing is written over that is not this rollout's; say whether there is one to go on with."""
    if plan.resume and plan.overwrite:
        raise InputError("--resume goes on, --overwrite begins anew; give one of them")
    reads = [*files_of(plan.case), plan.case.clip, plan.path, plan.vae]
    there = (plan.state / "rollout.json").is_file()
    check_outputs([plan.out, plan.state, plan.log], reads, ours=there)
    if plan.memory_pictures is not None:
        own = (plan.memory_pictures / "steps").is_dir()
        check_outputs([plan.memory_pictures], reads, ours=own)
    if not there or plan.overwrite:
        return False
    if not plan.resume and (other := _other_request(plan, _request_of(plan.state))):
        raise OutputError(f"{plan.out}: {other}; give another --out, or --overwrite")
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


def _other_request(plan: "Roll", made: Mapping[str, Any]) -> str | None:
    """Say what is asked for otherwise than a rollout was begun with."""
    for name, value in plan.request.items() if made else ():
        then, now = made.get(name), json.loads(json.dumps(value))
        if then != now:
            if isinstance(then, Mapping) and isinstance(now, Mapping):  # of many settings one is enough
                name = next(key for key in {**then, **now} if then.get(key) != now.get(key))
                then, now = then.get(name), now.get(name)
            shown = ["nothing" if each is None else f"{each!r:.200}" for each in (then, now)]
            return f"was begun with {name}={shown[0]}, not {shown[1]}; give what it was begun with"
    context, asked = made.get("num_context_frames"), plan.shape.frames[0]
    if made and context != asked:
        return f"was begun with a context of {context} frames, not {asked}; give --context-frames={context}"
    return None


def _check_model(plan: "Roll", inputs: CaseInputs) -> None:
    """Find what is wrong with the model, the strategy or the video's size before anything is loaded."""
    from outofsight.cli.loading import check_room, empty_model
    from outofsight.sampling.plan import VideoSize, token_grid

    networks = empty_model(plan, whole=plan.dry_run)
    context, height, width = inputs.video.shape[:3]
    size = VideoSize(height=height, width=width, context_frames=context, target_frames=1)
    token_grid(networks["transformer"], networks["vae"], size)
    if plan.memory_pictures is not None:
        check_banks(networks["transformer"])
    check_room(plan, size, guidance_scale=plan.sampling.guidance_scale, latent_frames=plan.latent_frames)


def _started(world: "WorldModel", plan: "Roll", inputs: CaseInputs) -> "tuple[Rollout, GrowingVideo]":
    """Begin a rollout. The state comes first, so that what belongs to no state is never taken for one."""
    from outofsight.cli.lenses import lens_record
    from outofsight.sampling.rollout_state import RolloutLimits
    from outofsight.sampling.stream_video import GrowingVideo

    assert inputs.context is not None
    rollout = world.start(
        inputs.video,
        inputs.context,
        plan.case.prompt,
        settings=plan.sampling,
        limits=RolloutLimits(keep_steps=0),
    )
    lens = lens_record(world, inputs.lens, *inputs.video.shape[1:3])
    facts = {"request": plan.request, "num_context_frames": len(inputs.video), "intrinsics": lens}
    rollout.notes = {**facts, **provenance()}
    rollout.notes["video"] = {"num_frames": 0, "num_bytes": 0}
    rollout.save(plan.state)
    write_text(plan.log, "")
    return rollout, GrowingVideo(plan.out, fps=plan.use.fps)


def _resumed(world: "WorldModel", plan: "Roll") -> "tuple[Rollout, GrowingVideo]":
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
    shown = GrowingVideo(plan.out, fps=plan.use.fps, **rollout.notes["video"])
    # Lines end in "\n" alone: a caption may hold other signs that splitlines() takes for an end. A rollout that
    # was killed at its very beginning has no log yet.
    written = plan.log.read_bytes().split(b"\n") if plan.log.exists() else []
    lines = [line for line in written if line][: rollout.num_steps]
    write_text(plan.log, "".join(f"{line.decode()}\n" for line in lines))
    say(f"{plan.state}: goes on after step {rollout.num_steps}")
    return rollout, shown


def _go(
    plan: "Roll", prompts: Mapping[int, str], rollout: "Rollout", shown: "GrowingVideo", path: "CameraPath"
) -> None:
    """Make the steps that are left; after each, the video, and then the state, are whole on the disk."""
    with shown_progress(Console(stderr=True), "steps", plan.steps) as show:
        for step in range(rollout.num_steps + 1, plan.steps + 1):
            if step in prompts:
                rollout.prompt = prompts[step]
            count = WAN_CLOCK.num_frames(plan.latent_frames, goes_on=step > 1)
            frames = rollout.step(path[rollout.num_frames : rollout.num_frames + count])
            shown.append(frames)
            if plan.memory_pictures is not None:
                keep_step(plan.memory_pictures, rollout.records[-1], frames)
            with explained(plan.log), plan.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(_line(rollout.records[-1]), ensure_ascii=False) + "\n")
            if step % plan.save_every == 0 or step == plan.steps:
                rollout.notes["video"] = {"num_frames": shown.num_frames, "num_bytes": shown.num_bytes}
                rollout.save(plan.state)
            show(step, plan.steps, f"step {step}")


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
