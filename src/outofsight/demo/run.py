"""The whole demo: an unseen clip, its continuation, the table, and the pictures."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from outofsight.data.video import write_video
from outofsight.demo.memory_picture import MemoryUse, memory_use, save_memory_picture, subject_slices
from outofsight.demo.moving_picture import SideBySide, write_moving_picture
from outofsight.demo.unseen_clip import UnseenRequest, unseen_clip
from outofsight.evaluation.baselines import camera_warped, frozen, round_trip
from outofsight.evaluation.case import ClipCase, Phase, Video, case_from_clip
from outofsight.evaluation.evidence import Measured
from outofsight.evaluation.metrics import measure_clip
from outofsight.files import write_json
from outofsight.memory.selectors import local_window
from outofsight.sampling.continuation import Continuation, SamplingSettings
from outofsight.sampling.inputs import as_pixels, to_uint8
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip, is_seen
from outofsight.world_model import WorldModelBase
from outofsight.worlds.plan_config import PlanConfig

METRICS_SHOWN = ("psnr", "fg_psnr", "fg_psnr_reentered")


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One video measured against the truth, by the names of ``METRICS_SHOWN``."""

    name: str
    measured: Mapping[str, Measured]


def compare(case: ClipCase, answers: Mapping[str, Callable[[], Video]]) -> tuple[TableRow, ...]:
    """Make and measure every answer to a clip, in the order given."""
    return tuple(
        TableRow(name=name, measured=measure_clip(case, make(), names=METRICS_SHOWN))
        for name, make in answers.items()
    )


def bounds(
    case: ClipCase, world: WorldModelBase, made: Video | None = None
) -> dict[str, Callable[[], Video]]:
    """Give what memory renders (``made``, where it does), baselines that need no memory, and the upper bound: the truth
    as the model's VAE can show it."""
    rendered = {} if made is None else {"what memory renders, as it is": lambda: made}
    return {
        **rendered,
        "last context frame, repeated": lambda: frozen(case),
        "last context frame, turned with the camera": lambda: camera_warped(case),
        "truth through the model's VAE": lambda: round_trip(case, lambda video: through_vae(world, video)),
    }


def through_vae(world: WorldModelBase, video: Video) -> Video:
    """Encode a video uint8 [n, h, w, 3] to latents and decode it again."""
    return to_uint8(world.decode_latents(world.encode_video(as_pixels(video, world)))[0])


OnStage = Callable[[str], None]
"""Called with what begins now, in words."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What to show. ``maker``: the model's name under its panel; ``plan``: another world than the mini's."""

    out: Path
    request: UnseenRequest
    sampling: SamplingSettings
    maker: str = "the mini"
    plan: PlanConfig | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class DemoReport:
    """What was found. ``seconds`` by stage, loading included; ``first_choice``: see ``MemoryFinding``."""

    caption: str
    rows: tuple[TableRow, ...]
    seconds: dict[str, float]
    files: dict[str, Path]
    memory: "MemoryFinding | None" = None


@dataclass(frozen=True, kw_only=True)
class MemoryFinding:
    """How often the frames in which a subject is back chose a slice that shows it, over steps and layers.

    ``first_choice``: share of first choices; ``of_all``: share of all slices that show it: what blind choice gives.
    """

    first_choice: float
    of_all: float


@dataclass
class _Stages:
    on_stage: OnStage
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, words: str) -> Iterator[None]:
        self.on_stage(words)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def run_demo(
    config: DemoConfig, load: Callable[[], WorldModel], on_stage: OnStage = lambda words: None
) -> DemoReport:
    """Render, continue, measure, draw; everything lies in ``config.out`` afterwards.

    ``load``: gives the model; called before anything long begins.

    Raises:
        OutputError: a file cannot be written.
    """
    stages = _Stages(on_stage)
    with stages.stage("load", "loading the model"):
        world = load()
    with stages.stage(
        "render", "planning and rendering a world (the first time ever, its kernels are compiled)"
    ):
        clip = unseen_clip(config.request, config.plan)
    on_stage("continuing the clip")
    made = _continue(clip, world, config.sampling)
    stages.seconds.update(made.seconds)
    case = case_from_clip(clip)
    with stages.stage("measure", "measuring, beside baselines and an upper bound"):
        rows = compare(case, {config.maker: lambda: made.video, **bounds(case, world, made.rendered)})
    with stages.stage("draw", "drawing"):
        shown = SideBySide(
            case=case,
            generated=made.video,
            caption=clip.caption,
            maker=config.maker,
            rendered=made.rendered,
        )
        use = _memory_use(world, made, clip)
        files = _draw(config.out, shown, use, made)
    report = DemoReport(
        caption=clip.caption,
        rows=rows,
        seconds=stages.seconds,
        files=files,
        memory=None if use is None else memory_finding(shown, use),
    )
    write_json(config.out / "demo.json", _record(config, report), indent=1)
    return report


def is_demo(out: Path) -> bool:
    """Tell whether a demo of ours lies in a folder."""
    try:
        return {"seed", "casting", "sampling"} <= json.loads((out / "demo.json").read_bytes()).keys()
    except (OSError, ValueError, AttributeError):
        return False


def _continue(clip: Clip, world: WorldModel, sampling: SamplingSettings) -> Continuation:
    split = clip.num_context_frames
    return world.continue_video(
        clip.video[:split],
        clip.cameras[:split],
        clip.cameras[split:],
        clip.caption,
        sampling,
        record_retrieval=True,
        on_progress=lambda stage, done, total: None,
    )


def _memory_use(world: WorldModel, made: Continuation, clip: Clip) -> MemoryUse | None:
    """Count what was retrieved; ``None`` for a model that retrieves nothing, or only from frames it picked first."""
    halves = (clip.num_context_frames, clip.num_target_frames)
    expected_latents = sum(world.clock.num_latent(length) for length in halves)
    if made.retrieval is None or made.retrieval.slices.shape[-1] == 0:
        return None
    settings = world.transformer.memory_settings
    num_latents = made.retrieval.slices.shape[2]
    if num_latents != expected_latents:
        return None  # a strategy that leaves context frames out: its slices are not spans of the clip
    source = num_latents if settings.source == "all" else made.retrieval.num_context_latent_frames
    windows = local_window(num_latents, settings.local_window)[:, [0, -1]].numpy()
    return memory_use(made.retrieval, source // settings.kernel[0], windows)


def memory_finding(shown: SideBySide, use: MemoryUse) -> MemoryFinding | None:
    """Look at the target latent frames that show a subject which is back; ``None`` where there are none."""
    case = shown.case
    assert case.visibility is not None
    frames = shown.phases[case.num_context_frames :]
    num_rows = use.chosen.shape[0]
    stride = (case.num_target_frames - 1) // (num_rows - 1) if num_rows > 1 else 1
    back = frames[::stride] == Phase.REENTERED  # the last video frame of each latent frame
    seen = np.asarray(is_seen(case.visibility).any(axis=0))
    showing = subject_slices(use, (case.num_context_frames, case.num_target_frames), seen)
    if not back.any():
        return None
    return MemoryFinding(
        first_choice=float(use.first[back][:, showing].sum(axis=1).mean()), of_all=float(showing.mean())
    )


def _draw(out: Path, shown: SideBySide, use: MemoryUse | None, made: Continuation) -> dict[str, Path]:
    files = {
        "side by side": out / "demo.mp4",
        "the same, for a page": out / "demo.webp",
        "what was generated, at its own size": out / "generated.mp4",
    }
    write_moving_picture(shown, files["side by side"], files["the same, for a page"])
    write_video(files["what was generated, at its own size"], made.video, shown.case.fps)
    if use is not None and made.retrieval is not None:
        files["what each frame retrieved"] = out / "memory.png"
        save_memory_picture(shown, use, files["what each frame retrieved"])
        files["the same as numbers"] = out / "retrieval.safetensors"
        made.retrieval.save(files["the same as numbers"])
    return files


def _record(config: DemoConfig, report: DemoReport) -> dict[str, Any]:
    return {
        "seed": config.request.seed,
        "casting": config.request.casting,
        "model": config.maker,
        "sampling": asdict(config.sampling),
        "caption": report.caption,
        "rows": {
            row.name: {name: asdict(measured) for name, measured in row.measured.items()}
            for row in report.rows
        },
        "memory": None if report.memory is None else asdict(report.memory),
        "seconds": {name: round(seconds, 2) for name, seconds in report.seconds.items()},
    }
