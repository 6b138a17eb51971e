"""``outofsight generate``: continue real videos."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from outofsight.cli import options as opt
from outofsight.cli.cases import Case, CaseInputs, Shape, files_of, find_cases, is_clip, read_case
from outofsight.cli.progress import shown_progress
from outofsight.cli.provenance import provenance
from outofsight.cli.values import check_fov, parse_frames, parse_settings, parse_size, sampling_settings
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError, OutputError
from outofsight.files import explained, write_json
from outofsight.model_folders import present_names, read_use

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from outofsight.backbone.transformer import HydraTransformer3DModel
    from outofsight.sampling.continuation import Continuation, SamplingSettings
    from outofsight.sampling.plan import VideoSize
    from outofsight.sampling.world import WorldModel

OURS = {"video", "camera", "prompt", "sampling", "versions"}
"""What the record of a run of ours holds, by which it is told from other files of that name."""

MASK_LEVEL = 128
"""Of 255: mask videos are compressed, their black and white are not exact."""


ContextVideo = Annotated[
    Path,
    typer.Option(help="context video; a clip's folder; or a folder of cases (N.mp4, camN.json, caption.txt)"),
]
Out = Annotated[Path, typer.Option(help="the .mp4 to make, or a folder for a folder of cases")]
Mask = Annotated[
    Path | None,
    typer.Option(help="video of the subjects, white on black, for models that need such masks"),
]
SaveRetrieval = Annotated[
    bool, typer.Option(help="also write which memory each frame retrieved, at each step and layer")
]
Repair = Annotated[
    list[str] | None,
    typer.Option(help="permit a repair of a camera file by name, or 'published' for all"),
]
Overwrite = Annotated[bool, typer.Option(help="make outputs again that exist with other settings")]


def generate(
    model: opt.Model,
    video: ContextVideo,
    out: Out,
    camera: opt.Camera = None,
    context_camera: opt.ContextCamera = None,
    prompt: opt.Prompt = None,
    size: opt.Size = None,
    fov: opt.Fov = None,
    frames: opt.Frames = None,
    steps: opt.Steps = None,
    guidance: opt.Guidance = None,
    seed: opt.Seed = 42,
    strategy: opt.StrategyName = None,
    mask: Mask = None,
    settings: opt.Settings = None,
    with_context: opt.WithContext = False,
    save_retrieval: SaveRetrieval = False,
    repair: Repair = None,
    resample: opt.Resample = False,
    vae: opt.Vae = None,
    tile_vae: opt.TileVae = False,
    attention_chunk: opt.AttentionChunk = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = None,
    offload: opt.Offload = "none",
    quantize: opt.Quantize = "none",
    overwrite: Overwrite = False,
    dry_run: opt.DryRun = False,
) -> None:
    """Continue a video, or every video of a folder, along a camera path."""
    cases = find_cases(video, camera, context_camera, prompt, out)
    if mask is not None and len(cases) > 1:
        raise InputError("--mask: goes with one video, not with a folder of cases")
    check_fov(fov)
    use = read_use(model)
    shape = Shape(
        frames=parse_frames(frames) if frames else use.frames, size=parse_size(size) if size else use.size,
        repairs=_repairs(repair or []), fov_x_deg=fov, fps=use.fps, resample=resample,
    )  # fmt: skip
    asked = {"num_inference_steps": steps, "guidance_scale": guidance, "seed": seed}
    sampling = sampling_settings(use, asked, parse_settings(settings or []))
    options = Options(
        model=model, strategy=strategy, mask=mask, shape=shape, with_context=with_context,
        sampling=sampling, save_retrieval=save_retrieval, vae=vae,
        tile_vae=tile_vae, attention_chunk=attention_chunk, device=device, dtype=dtype, offload=offload,
        quantize=quantize,
    )  # fmt: skip
    reads = [model, mask, vae, prompt, video if len(cases) > 1 or is_clip(video) else None]
    remaining, inputs = _checked(cases, options, reads, overwrite=overwrite, whole=dry_run)
    if dry_run:
        for case in remaining:
            request = json.dumps(options.request(case), ensure_ascii=False)
            _say(f"would write {case.out}: {request}")
    elif remaining:
        with claimed(out, filled=out.suffix.lower() != ".mp4"):
            _continue(remaining, inputs, options)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How every case of a command is continued."""

    model: str
    strategy: str | None
    mask: Path | None
    shape: Shape
    sampling: "SamplingSettings"
    with_context: bool
    save_retrieval: bool
    vae: Path | None
    tile_vae: bool
    attention_chunk: int | None
    device: str
    dtype: str | None
    offload: str
    quantize: str

    def request(self, case: Case) -> dict[str, Any]:
        """What determines a case's result: written beside it, and compared before making it again."""
        return {
            "video": str(case.video),
            "camera": case.camera,
            "context_camera": case.context_camera,
            "prompt": case.prompt,
            "model": self.model,
            "strategy": self.strategy,
            "mask": str(self.mask) if self.mask else None,
            "sampling": asdict(self.sampling),
            "frames": list(self.shape.frames),
            "size": list(self.shape.size) if self.shape.size else None,
            "repairs": list(self.shape.repairs),
            "fov": self.shape.fov_x_deg,
            "with_context": self.with_context,
            "tile_vae": self.tile_vae,
            "dtype": self.dtype,
            **({"resample": True} if self.shape.resample else {}),
            **({} if self.quantize == "none" else {"quantize": self.quantize}),
            **({} if self.vae is None else {"vae": str(self.vae)}),
        }


def _checked(
    cases: list[Case], options: Options, reads: list[str | Path | None], *, overwrite: bool, whole: bool
) -> tuple[list[Case], CaseInputs | None]:
    """Find whatever is wrong before anything long begins. Returns the cases that are not done yet, and what was read
    of a single one. ``whole``: check the model's weights as well."""
    from outofsight.cli.loading import check_loading

    device, dtype = check_loading(options.device, options.dtype, options.offload, options.quantize)
    for case in cases:
        _check_place(case, reads, options.save_retrieval)
    remaining = [case for case in cases if not _is_done(case, options, overwrite)]
    inputs, sizes = _check_inputs(remaining, options, whole=whole)
    if sizes:
        _check_room(options, max(sizes, key=lambda size: size.height * size.width), device, dtype)
    return remaining, inputs


def _check_room(options: Options, size: "VideoSize", device: "torch.device", dtype: "torch.dtype") -> None:
    from outofsight.cli.loading import check_room
    from outofsight.sampling.card_fit import GpuRun, generation_bytes

    run = GpuRun(
        guided=options.sampling.guidance_scale != 1, offload=options.offload, tile_vae=options.tile_vae,
        attention_chunk=options.attention_chunk, quantize=options.quantize, tiny_decoder=options.vae is not None,
    )  # fmt: skip
    check_room(
        options.model,
        dtype,
        device,
        run,
        lambda networks: generation_bytes(networks, size, run),
        options.strategy,
    )


def _continue(cases: list[Case], inputs: CaseInputs | None, options: Options) -> None:
    """Load the model and continue each case. ``inputs``: of a single case, if they were read already."""
    from outofsight.cli.loading import load_world

    start = time.perf_counter()
    world = load_world(
        options.model, options.device, options.dtype, options.offload, options.vae, options.quantize
    )
    load_seconds = time.perf_counter() - start
    world.transformer.attention_frames_per_chunk = options.attention_chunk
    if options.strategy is not None:
        world.set_memory(options.strategy)
    for case in cases:
        _continue_case(world, case, inputs or read_case(case, options.shape), options, load_seconds)


def _continue_case(
    world: "WorldModel", case: Case, inputs: CaseInputs, options: Options, load_seconds: float
) -> None:
    from outofsight.cli.lenses import lens_record
    from outofsight.codec.video_vae import LatentTiling

    for note in inputs.notes:
        _say(f"{case.name}: {note}")
    masks = None
    if options.mask is not None:
        masks = _masks(options.mask, inputs, options.shape, world.transformer)
    with shown_progress(Console(stderr=True), case.name) as show:
        result = world.continue_video(
            inputs.video,
            inputs.context,
            inputs.target,
            case.prompt,
            options.sampling,
            subject_masks=masks,
            tiling=LatentTiling() if options.tile_vae else None,
            record_retrieval=options.save_retrieval,
            on_progress=lambda stage, done, total: show(done, total, f"{case.name} {stage}"),
        )
    record = {
        **options.request(case),
        "notes": list(inputs.notes),
        "intrinsics": lens_record(world, inputs.lens, *inputs.video.shape[1:3]),
        "fps": options.shape.fps,
        **_measured(result, load_seconds, world),
    }
    if options.save_retrieval and result.retrieval is None:
        record["retrieves_nothing"] = True
        _say(f"{case.name}: this model retrieves no slices, so there is nothing to save of them")
    _write(case, inputs, result, options, record)
    _say(f"wrote {case.out}")


def _say(line: str) -> None:
    Console(stderr=True).print(line, soft_wrap=True, markup=False)


def _repairs(names: list[str]) -> tuple[str, ...]:
    from outofsight.geometry.matrix_repairs import PUBLISHED_REPAIRS

    unknown = [name for name in names if name != "published" and name not in PUBLISHED_REPAIRS]
    if unknown:
        known = ", ".join(("published", *PUBLISHED_REPAIRS))
        raise InputError(f"--repair: expected one of {known}, got {unknown[0]!r}")
    return tuple(PUBLISHED_REPAIRS) if "published" in names else tuple(names)


def _sidecar(case: Case) -> Path:
    return case.out.with_suffix(".json")


def _retrieved(case: Case) -> Path:
    return case.out.with_suffix(".retrieval.safetensors")


def _record(case: Case) -> dict[str, Any] | None:
    """Read what an earlier run of ours wrote beside a video; ``None``: no run of ours made what is there."""
    try:
        record = json.loads(_sidecar(case).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not (isinstance(record, dict) and record.keys() >= OURS):
        return None
    return {**record, "sampling": present_names(record["sampling"])}


def _check_place(case: Case, reads: list[str | Path | None], save_retrieval: bool) -> None:
    """Refuse to write over inputs, and over what was not made by us. Raises ``OutputError``."""
    writes = [case.out, _sidecar(case), *([_retrieved(case)] if save_retrieval else [])]
    check_outputs(writes, [*files_of(case), *reads], ours=_record(case) is not None)


def _is_done(case: Case, options: Options, overwrite: bool) -> bool:
    """Tell whether a case's outputs are there and were made by the same request.

    Raises:
        OutputError: outputs of another request are in the way, or lack what is asked for, and ``overwrite`` is not set.
    """
    if not case.out.exists() or overwrite:
        return False
    record = _record(case) or {}
    if all(record.get(key) == value for key, value in options.request(case).items()):
        if options.save_retrieval and not record.get("retrieves_nothing") and not _retrieved(case).exists():
            raise OutputError(
                f"{case.out} is there already, but what it retrieved was not saved; --overwrite makes both anew"
            )
        _say(f"{case.out} is there already, made with these settings")
        return True
    raise OutputError(
        f"{case.out} exists and was made with other settings; give another --out, or --overwrite"
    )


def _check_inputs(
    cases: list[Case], options: Options, *, whole: bool
) -> "tuple[CaseInputs | None, list[VideoSize]]":
    """Find whatever is wrong with the model's folder or any case. Returns what was read, where it is one case's, and
    the size of each."""
    from outofsight.cli.loading import empty_model
    from outofsight.sampling.plan import VideoSize, token_grid

    networks = empty_model(options.model, options.strategy, whole=whole, decoder=options.vae)
    transformer, shape, inputs = networks["transformer"], options.shape, None
    sizes = []
    for case in cases:
        inputs = read_case(case, shape)
        for note in inputs.notes if whole else ():  # a run says it when it is the case's turn
            _say(f"{case.name}: {note}")
        height, width = inputs.video.shape[1:3]
        size = VideoSize(
            height=height, width=width, context_frames=shape.frames[0], target_frames=shape.frames[1]
        )
        token_grid(transformer, networks["vae"], size)
        sizes.append(size)
        if options.mask is not None:
            _masks(options.mask, inputs, shape, transformer)
        elif transformer.needs_subject_masks != "none":
            raise InputError(
                f"--mask: this model ({transformer.config['memory_strategy']}) needs subject masks; give a "
                "video of them, white on black"
            )
    return inputs if len(cases) == 1 else None, sizes


def _masks(
    mask: Path, inputs: CaseInputs, shape: Shape, transformer: "HydraTransformer3DModel"
) -> "NDArray[np.uint8]":
    """Read the subjects' masks of the frames that the model needs: 0 background, 1 a subject [n, height, width].

    Raises:
        InputError: a mask for a model that does not look at one.
        VideoError: a video that is damaged, too short, or of another size.
    """
    import numpy as np

    from outofsight.data.video import read_video
    from outofsight.errors import VideoError

    asked = transformer.needs_subject_masks
    if asked == "none" and not transformer.shows_rendered:
        name = transformer.config["memory_strategy"]
        raise InputError(f"--mask: this model ({name}) takes no masks of subjects; leave it out")
    count = len(inputs.video) + (shape.frames[1] if asked == "all" else 0)
    frames, _ = read_video(mask, size=shape.size)
    if len(frames) != count:
        raise VideoError(
            f"{mask}: has {len(frames)} frames, expected {count}: the {len(inputs.video)} of the context that are "
            f"used{', and the target' if asked == 'all' else ''}"
        )
    if frames.shape[1:3] != inputs.video.shape[1:3]:
        raise VideoError(
            f"{mask}: {frames.shape[1]}×{frames.shape[2]} pixels, the video has {inputs.video.shape[1]}×"
            f"{inputs.video.shape[2]}; give masks of the same size"
        )
    return (frames.mean(axis=3) >= MASK_LEVEL).astype(np.uint8)


def _write(
    case: Case,
    inputs: CaseInputs,
    result: "Continuation",
    options: Options,
    record: dict[str, Any],
) -> None:
    """Write the record first: by it what is there is known to be ours, and a video without one is somebody's."""
    import numpy as np

    from outofsight.data.video import write_video

    shown = np.concatenate((inputs.video, result.video)) if options.with_context else result.video
    with explained(case.out):
        case.out.unlink(missing_ok=True)  # of other settings: the record to come is not its own
    try:
        write_json(_sidecar(case), record, indent=2)
        if result.retrieval is not None:
            result.retrieval.save(_retrieved(case))
        write_video(case.out, shown, record["fps"])
    except OutputError:  # a full disk: nothing stays of a video that is not there
        for path in (_sidecar(case), _retrieved(case)):
            path.unlink(missing_ok=True)
        raise


def _measured(result: "Continuation", load_seconds: float, world: "WorldModel") -> dict[str, Any]:
    import torch

    on_gpu = world.work_device.type == "cuda"
    stages = {"load": load_seconds, **result.seconds}
    return {
        "target_frames": len(result.video),
        "seconds": {stage: round(seconds, 3) for stage, seconds in stages.items()},
        "peak_gpu_bytes": torch.cuda.max_memory_allocated(world.work_device) if on_gpu else None,
        "device": torch.cuda.get_device_name(world.work_device) if on_gpu else "cpu",
        **provenance(),
    }
