"""``outofsight roll``: a rollout, step by step, for as long as one likes."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outofsight.cli import options as opt
from outofsight.cli.cases import Case, Shape, case_of, is_file
from outofsight.cli.rollout_run import run_rollout
from outofsight.cli.values import parse_settings, parse_size, sampling_settings, text_or_file
from outofsight.errors import InputError
from outofsight.model_folders import ModelSource
from outofsight.types import WAN_CLOCK

if TYPE_CHECKING:
    from outofsight.sampling.continuation import SamplingSettings


@dataclass(frozen=True, kw_only=True)
class Roll(ModelSource):
    """What ``roll`` is asked for."""

    path: opt.Model
    video: Annotated[
        Path,
        typer.Option(
            help="context video, its last frames are used; or a clip's folder, which brings cameras and caption"
        ),
    ]
    out: Annotated[Path, typer.Option(help="the .mp4 to make; it grows and plays from the first step on")]
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="steps to make in all")]
    camera: Annotated[
        str | None, typer.Option(help="camera file, or the path to come, such as pan:left:60,back")
    ] = None
    prompt: opt.Prompt = None
    context_camera: opt.ContextCamera = None
    latent_frames: Annotated[
        int, typer.Option(min=1, max=1000, help="latent frames of a step; each is 4 video frames")
    ] = 3
    loop_frames: Annotated[
        int | None,
        typer.Option(
            "--loop-frames", "--lap", min=1, max=1_000_000,
            help="repeat the camera's path every so many frames; it must come back to its start",
        ),
    ] = None  # fmt: skip
    prompt_at: Annotated[
        list[str] | None, typer.Option(help="another caption from a step on: 12:Snow begins to fall.")
    ] = None
    size: opt.Size = None
    fov: opt.Fov = None
    context_frames: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="frames of context, 4k+1 (default: the model's, or 77)"),
    ] = None
    seed: opt.Seed = 42
    settings: opt.RolloutSettings = None
    with_context: opt.WithContext = False
    memory_pictures: Annotated[
        Path | None,
        typer.Option(
            help="a folder for pictures of what memory held (models with banks), against the truth of a clip of ours"
        ),
    ] = None
    resample: opt.Resample = False
    save_every: Annotated[int, typer.Option(min=1, help="steps from one saved state to the next")] = 1
    resume: Annotated[bool, typer.Option(help="go on where an earlier run stopped, as is done anyway")] = (
        False
    )
    overwrite: Annotated[bool, typer.Option(help="begin anew where a rollout is there already")] = False
    dry_run: opt.DryRun = False
    strategy: opt.StrategyName = None
    device: opt.Device = "auto"
    dtype: opt.Dtype = None
    offload: Annotated[str, typer.Option(help="keep weights off the GPU: none or model")] = "none"
    quantize: opt.Quantize = "none"
    vae: opt.Vae = None

    @cached_property
    def case(self) -> Case:
        return case_of(self.video, self.camera, self.context_camera, self.prompt, self.out)

    @cached_property
    def shape(self) -> Shape:
        """One frame of target stands for all steps."""
        return Shape(
            frames=(self.context_frames or self.use.num_context_frames, 1),
            size=parse_size(self.size) if self.size else self.use.size,
            fov_x_deg=self.fov, fps=self.use.fps, resample=self.resample,
        )  # fmt: skip

    @cached_property
    def sampling(self) -> "SamplingSettings":
        return sampling_settings(self.use, {"seed": self.seed}, parse_settings(self.settings or []))

    @cached_property
    def prompts(self) -> dict[int, str]:
        """Captions that begin at a step."""
        prompts = {}
        for pair in self.prompt_at or []:
            step, colon, text = pair.partition(":")
            if not colon or not step.isdigit() or not 1 <= int(step) <= self.steps:
                raise InputError(
                    f"--prompt-at: expected STEP:CAPTION with a step of 1 to {self.steps}, got {pair!r}"
                )
            prompts[int(step)] = text_or_file(text, "--prompt-at")
        return prompts

    @cached_property
    def request(self) -> dict[str, Any]:
        """All that decides what is shown, as it is kept beside the state."""
        case = self.case
        # A path in words is spread over all steps: with more of them it is another path. A file's is not.
        spread = None if self.loop_frames or is_file(case.camera) else self.num_frames
        return {
            "model": self.path, "strategy": self.strategy, "video": str(self.video), "camera": case.camera,
            "context_camera": case.context_camera, "prompt": case.prompt, "latent_frames": self.latent_frames,
            "loop_frames": self.loop_frames, "path_frames": spread, "sampling": asdict(self.sampling),
            "with_context": self.with_context, "dtype": self.dtype, "fov": self.fov,
            "resample": self.resample or None, "vae": str(self.vae) if self.vae else None,
            "quantize": None if self.quantize == "none" else self.quantize,
        }  # fmt: skip

    @property
    def num_frames(self) -> int:
        """Video frames of all steps."""
        return WAN_CLOCK.num_frames(self.steps * self.latent_frames)

    @property
    def state(self) -> Path:
        return self.out.with_suffix(".rollout")

    @property
    def log(self) -> Path:
        return self.out.with_suffix(".steps.jsonl")


@opt.takes(Roll)
def roll(asked: Roll) -> None:
    """Walk on through a video's world: frames, state and a line for each step are written as they come."""
    if asked.offload == "sequential":
        raise InputError(
            "--offload sequential: the weights that a state is checked against are not in memory then; use model"
        )
    run_rollout(asked)
