"""``outofsight roll``: a rollout, step by step, for as long as one likes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from outofsight.cli.cases import Shape, case_of, is_file
from outofsight.cli.options import Device, Dtype, Fov, Model, Prompt, Quantize, Resample, StrategyName, Vae
from outofsight.cli.rollout_run import RolloutModel, RolloutPlan, run_rollout
from outofsight.cli.values import DryRun, check_fov, parse_settings, parse_size, text_or_file
from outofsight.errors import InputError
from outofsight.model_folders import ModelUse, read_use
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
ContextCamera = Annotated[
    str | None,
    typer.Option(help="how the camera moved in the context, if --camera is a path: file or path"),
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
Size = Annotated[
    str | None, typer.Option(help="HEIGHTxWIDTH: scale to cover and crop (default: the model's)")
]
ContextFrames = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="frames of context, 4k+1 (default: the model's, or 77)")
]
Seed = Annotated[int, typer.Option(help="seed of the noise")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="sampling settings: num_inference_steps=8, guidance_scale=1")
]
WithContext = Annotated[bool, typer.Option(help="put the context in front")]
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
    model: Model,
    video: ContextVideo,
    out: Out,
    steps: Steps,
    camera: Camera = None,
    prompt: Prompt = None,
    context_camera: ContextCamera = None,
    latent_frames: LatentFrames = 3,
    loop_frames: LoopFrames = None,
    prompt_at: PromptAt = None,
    size: Size = None,
    fov: Fov = None,
    context_frames: ContextFrames = None,
    seed: Seed = 42,
    settings: Settings = None,
    strategy: StrategyName = None,
    with_context: WithContext = False,
    memory_pictures: MemoryPictures = None,
    resample: Resample = False,
    vae: Vae = None,
    save_every: SaveEvery = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    dtype: Dtype = None,
    offload: Offload = "none",
    quantize: Quantize = "none",
    dry_run: DryRun = False,
) -> None:
    """Walk on through a video's world: frames, state and a line for each step are written as they come."""
    if offload == "sequential":
        raise InputError(
            "--offload sequential: the weights that a state is checked against are not in memory then; use model"
        )
    check_fov(fov)
    use = read_use(model)
    case = case_of(video, camera, context_camera, prompt, out)
    sampling = _sampling(use, seed, settings or [])
    shape = Shape(
        frames=(context_frames or use.num_context_frames, 1), size=parse_size(size) if size else use.size, repairs=(),
        fov_x_deg=fov,
        fps=use.fps, resample=resample,
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


def _sampling(use: ModelUse, seed: int, pairs: list[str]) -> dict[str, Any]:
    from outofsight.sampling.continuation import check_settings

    given = parse_settings(pairs)
    if "seed" in given:
        raise InputError("--set seed: this setting has an option of its own; see --help")
    return asdict(check_settings(**{**use.sampling, **given, "seed": seed}))


def _prompts(pairs: list[str], steps: int) -> dict[int, str]:
    """Read "12:Snow begins to fall." """
    prompts = {}
    for pair in pairs:
        step, colon, text = pair.partition(":")
        if not colon or not step.isdigit() or not 1 <= int(step) <= steps:
            raise InputError(f"--prompt-at: expected STEP:CAPTION with a step of 1 to {steps}, got {pair!r}")
        prompts[int(step)] = text_or_file(text, "--prompt-at")
    return prompts
