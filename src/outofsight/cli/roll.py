"""``outofsight roll``: a rollout, step by step, for as long as one likes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from outofsight.cli import options as opt
from outofsight.cli.cases import Shape, case_of, is_file
from outofsight.cli.rollout_run import RolloutModel, RolloutPlan, run_rollout
from outofsight.cli.values import check_fov, parse_settings, parse_size, sampling_settings, text_or_file
from outofsight.errors import InputError
from outofsight.model_folders import read_use
from outofsight.types import WAN_CLOCK

ContextVideo = Annotated[
    Path,
    typer.Option(
        help="context video, its last frames are used; or a clip's folder, which brings cameras and caption"
    ),
]
Out = Annotated[Path, typer.Option(help="the .mp4 to make; it grows and plays from the first step on")]
Steps = Annotated[int, typer.Option(min=1, max=100_000, help="steps to make in all")]
Camera = Annotated[
    str | None, typer.Option(help="camera file, or the path to come, such as pan:left:60,back")
]
LatentFrames = Annotated[
    int, typer.Option(min=1, max=1000, help="latent frames of a step; each is 4 video frames")
]
LoopFrames = Annotated[
    int | None,
    typer.Option(
        "--loop-frames",
        "--lap",
        min=1,
        max=1_000_000,
        help="repeat the camera's path every so many frames; it must come back to its start",
    ),
]
PromptAt = Annotated[
    list[str] | None, typer.Option(help="another caption from a step on: 12:Snow begins to fall.")
]
ContextFrames = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="frames of context, 4k+1 (default: the model's, or 77)")
]
MemoryPictures = Annotated[
    Path | None,
    typer.Option(
        help="a folder for pictures of what memory held (models with banks), against the truth of a clip of ours"
    ),
]
SaveEvery = Annotated[int, typer.Option(min=1, help="steps from one saved state to the next")]
Resume = Annotated[bool, typer.Option(help="go on where an earlier run stopped, as is done anyway")]
Overwrite = Annotated[bool, typer.Option(help="begin anew where a rollout is there already")]
Offload = Annotated[str, typer.Option(help="keep weights off the GPU: none or model")]


def roll(
    model: opt.Model,
    video: ContextVideo,
    out: Out,
    steps: Steps,
    camera: Camera = None,
    prompt: opt.Prompt = None,
    context_camera: opt.ContextCamera = None,
    latent_frames: LatentFrames = 3,
    loop_frames: LoopFrames = None,
    prompt_at: PromptAt = None,
    size: opt.Size = None,
    fov: opt.Fov = None,
    context_frames: ContextFrames = None,
    seed: opt.Seed = 42,
    settings: opt.RolloutSettings = None,
    strategy: opt.StrategyName = None,
    with_context: opt.WithContext = False,
    memory_pictures: MemoryPictures = None,
    resample: opt.Resample = False,
    vae: opt.Vae = None,
    save_every: SaveEvery = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = None,
    offload: Offload = "none",
    quantize: opt.Quantize = "none",
    dry_run: opt.DryRun = False,
) -> None:
    """Walk on through a video's world: frames, state and a line for each step are written as they come."""
    if offload == "sequential":
        raise InputError(
            "--offload sequential: the weights that a state is checked against are not in memory then; use model"
        )
    check_fov(fov)
    use = read_use(model)
    case = case_of(video, camera, context_camera, prompt, out)
    sampling = asdict(sampling_settings(use, {"seed": seed}, parse_settings(settings or [])))
    shape = Shape(
        frames=(context_frames or use.num_context_frames, 1), size=parse_size(size) if size else use.size,
        fov_x_deg=fov, fps=use.fps, resample=resample,
    )  # fmt: skip
    request = {
        "model": model, "strategy": strategy, "video": str(video), "camera": case.camera,
        "context_camera": case.context_camera, "prompt": case.prompt, "latent_frames": latent_frames,
        "loop_frames": loop_frames,
        "path_frames": None if loop_frames else _spread_over(case.camera, WAN_CLOCK.num_frames(steps * latent_frames)),
        "sampling": sampling, "with_context": with_context, "dtype": dtype, "fov": fov,
        "resample": resample or None, "vae": str(vae) if vae else None,
        "quantize": None if quantize == "none" else quantize,
    }  # fmt: skip
    plan = RolloutPlan(
        model=RolloutModel(
            model=model, strategy=strategy, sampling=sampling, device=device, dtype=dtype, offload=offload, vae=vae,
            quantize=quantize,
        ),
        case=case, shape=shape, steps=steps, latent_frames=latent_frames,
        loop_frames=loop_frames, prompts=_prompts(prompt_at or [], steps), with_context=with_context,
        save_every=save_every,
        fps=use.fps, memory_pictures=memory_pictures, request=request,
    )  # fmt: skip
    run_rollout(plan, resume=resume, overwrite=overwrite, dry_run=dry_run)


def _spread_over(camera: str, num_frames: int) -> int | None:
    """A path in words is spread over all steps: with more of them it is another path. A file's is not."""
    return None if is_file(camera) else num_frames


def _prompts(pairs: list[str], steps: int) -> dict[int, str]:
    """Read "12:Snow begins to fall." """
    prompts = {}
    for pair in pairs:
        step, colon, text = pair.partition(":")
        if not colon or not step.isdigit() or not 1 <= int(step) <= steps:
            raise InputError(f"--prompt-at: expected STEP:CAPTION with a step of 1 to {steps}, got {pair!r}")
        prompts[int(step)] = text_or_file(text, "--prompt-at")
    return prompts
