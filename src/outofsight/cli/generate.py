"""``outofsight generate``: continue real videos."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from outofsight.cli.cases import Case, CaseInputs, Shape, files_of, find_cases, is_clip, read_case
from outofsight.cli.progress import shown_progress
from outofsight.cli.provenance import provenance
from outofsight.cli.values import DryRun, check_fov, parse_frames, parse_settings, parse_size
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError, OutputError
from outofsight.files import explained, write_json
from outofsight.model_folders import present_names, read_use

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from outofsight.backbone.transformer import HydraTransformer3DModel
    from outofsight.sampling.continuation import Continuation, SamplingSettings
    from outofsight.sampling.world import WorldModel

OURS = {"video", "camera", "prompt", "sampling", "versions"}
"""What the record of a run of ours holds, by which it is told from other files of that name."""

MASK_LEVEL = 128
"""Of 255: mask videos are compressed, their black and white are not exact."""


def generate(
    model: Annotated[str, typer.Option(help="mini (bundled), model folder or hub id")],
    video: Annotated[
        Path,
        typer.Option(
            help="context video; a clip's folder; or a folder of cases (N.mp4, camN.json, caption.txt)"
        ),
    ],
    out: Annotated[Path, typer.Option(help="the .mp4 to make, or a folder for a folder of cases")],
    camera: Annotated[
        str | None, typer.Option(help="camera file, or the path to come, such as pan:left:60,pan:right:60")
    ] = None,
    context_camera: Annotated[
        str | None,
        typer.Option(
            help="how the camera moved in the context, if --camera is a path: file, path, or estimate"
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="caption, or a text file that holds it")] = None,
    size: Annotated[
        str | None,
        typer.Option(help="HEIGHTxWIDTH: scale to cover and crop (default: the model's, or as it is)"),
    ] = None,
    fov: Annotated[
        float | None,
        typer.Option(help="the video's lens, in degrees across, where no camera file or clip says it"),
    ] = None,
    frames: Annotated[
        str | None, typer.Option(help="CONTEXT+TARGET frames, each 4k+1 (default: the model's, or 77+77)")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="denoising steps (default: the model's, or 50)")] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="guidance scale; 1 is twice as fast (default: the model's, or 5)"),
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the starting noise")] = 42,
    strategy: Annotated[
        str | None,
        typer.Option(help="remember by another strategy with the same weights (see `outofsight strategies`)"),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="video of the subjects, white on black, for models that are told where they are"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="other sampling settings: shift=3, negative_prompt=blurry"),
    ] = None,
    with_context: Annotated[bool, typer.Option(help="put the context in front of the continuation")] = False,
    save_retrieval: Annotated[
        bool, typer.Option(help="also write which memory each frame retrieved, at each step and layer")
    ] = False,
    repair: Annotated[
        list[str] | None,
        typer.Option(help="permit a repair of a camera file by name, or 'published' for all"),
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="take the video's frames at the model's rate")
    ] = False,
    vae: Annotated[
        Path | None, typer.Option(help="decode by this tiny decoder (as taew2_1.pth): faster, softer")
    ] = None,
    tile_vae: Annotated[bool, typer.Option(help="encode and decode in tiles: less memory, slower")] = False,
    attention_chunk: Annotated[
        int | None, typer.Option(min=1, help="query frames at a time: less memory")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[str | None, typer.Option(help="default: bfloat16 on a GPU, float32 on a CPU")] = None,
    offload: Annotated[
        str, typer.Option(help="keep weights off the GPU: none, model or sequential")
    ] = "none",
    overwrite: Annotated[
        bool, typer.Option(help="make outputs again that exist with other settings")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Continue a video, or every video of a folder, along a camera path."""
    from outofsight.cli.loading import check_loading

    cases = find_cases(video, camera, context_camera, prompt, out)
    if mask is not None and len(cases) > 1:
        raise InputError("--mask: goes with one video, not with a folder of cases")
    check_fov(fov)
    use = read_use(model)
    shape = Shape(
        frames=parse_frames(frames) if frames else use.frames,
        size=parse_size(size) if size else use.size,
        repairs=_repairs(repair or []),
        fov_x_deg=fov,
        fps=use.fps,
        resample=resample,
    )
    flags = {
        "num_inference_steps": use.num_inference_steps if steps is None else steps,
        "guidance_scale": use.guidance_scale if guidance is None else guidance,
        "strength": use.strength,
        "seed": seed,
    }
    sampling = _sampling(flags, settings or [])
    options = {
        "model": model,
        "strategy": strategy,
        "mask": str(mask) if mask else None,
        "sampling": asdict(sampling),
        "frames": list(shape.frames),
        "size": list(shape.size) if shape.size else None,
        "repairs": list(shape.repairs),
        "fov": fov,
        "with_context": with_context,
        "tile_vae": tile_vae,
        "dtype": dtype,
    }
    if resample:
        options["resample"] = True
    if vae is not None:
        options["vae"] = str(vae)
    check_loading(device, dtype, offload)
    console = Console(stderr=True)
    for case in cases:
        _check_place(
            case,
            [model, mask, vae, prompt, video if len(cases) > 1 or is_clip(video) else None],
            save_retrieval,
        )
    remaining = [
        case
        for case in cases
        if not _is_done(case, _request(case, options), overwrite, save_retrieval, console)
    ]
    read = _check_all(remaining, shape, model, strategy, mask, vae, dry_run=dry_run)
    for case in remaining if dry_run else ():
        told = json.dumps(_request(case, options), ensure_ascii=False)
        console.print(f"would write {case.out}: {told}", soft_wrap=True, markup=False)
    if dry_run or not remaining:
        return
    from outofsight.cli.lenses import lens_record

    with claimed(out, filled=out.suffix.lower() != ".mp4"):
        world, seconds = _load(model, device, dtype, offload, vae)
        world.transformer.attention_frames_per_chunk = attention_chunk
        if strategy is not None:
            world.remember_by(strategy)
        for case in remaining:
            inputs = read or read_case(case, shape)
            for note in inputs.notes:
                console.print(f"{case.name}: {note}", soft_wrap=True, markup=False)
            masks = _masks(mask, inputs, shape, world.transformer) if mask is not None else None
            result = _run(world, case, inputs, masks, sampling, tile_vae, save_retrieval, console)
            measured = {"fps": use.fps, **_measured(result, seconds, world)}
            lens = lens_record(world, inputs.lens, *inputs.video.shape[1:3])
            noted = {"notes": list(inputs.notes), "intrinsics": lens}
            record = {**_request(case, options), **noted, **measured}
            if save_retrieval and result.retrieval is None:
                record["retrieves_nothing"] = True
                told = f"{case.name}: this model retrieves no slices, so there is nothing to save of them"
                console.print(told, soft_wrap=True, markup=False)
            _write(case, inputs, result, with_context, use.fps, record)
            console.print(f"wrote {case.out}", soft_wrap=True, markup=False)


def _repairs(names: list[str]) -> tuple[str, ...]:
    from outofsight.geometry.camera_files import PUBLISHED_REPAIRS

    unknown = [name for name in names if name != "published" and name not in PUBLISHED_REPAIRS]
    if unknown:
        known = ", ".join(("published", *PUBLISHED_REPAIRS))
        raise InputError(f"--repair: expected one of {known}, got {unknown[0]!r}")
    return tuple(PUBLISHED_REPAIRS) if "published" in names else tuple(names)


def _sampling(flags: dict[str, Any], pairs: list[str]) -> "SamplingSettings":
    from outofsight.sampling.continuation import check_settings

    others = parse_settings(pairs)
    twice = sorted(flags.keys() & others.keys())
    if twice:
        raise InputError(f"--set {twice[0]}: this setting has an option of its own; see --help")
    return check_settings(**flags, **others)


def _request(case: Case, options: dict[str, Any]) -> dict[str, Any]:
    """What determines a case's result: written beside it, and compared before making it again."""
    return {
        "video": str(case.video),
        "camera": case.camera,
        "context_camera": case.context_camera,
        "prompt": case.prompt,
        **options,
    }


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


def _is_done(
    case: Case, request: dict[str, Any], overwrite: bool, save_retrieval: bool, console: Console
) -> bool:
    """Tell whether a case's outputs are there and were made by the same request.

    Raises:
        OutputError: outputs of another request are in the way, or lack what is asked for, and ``overwrite`` is not set.
    """
    if not case.out.exists() or overwrite:
        return False
    record = _record(case) or {}
    if all(record.get(key) == value for key, value in request.items()):
        if save_retrieval and not record.get("retrieves_nothing") and not _retrieved(case).exists():
            raise OutputError(
                f"{case.out} is there already, but what it retrieved was not saved; --overwrite makes both anew"
            )
        console.print(f"{case.out} is there already, made with these settings", soft_wrap=True, markup=False)
        return True
    raise OutputError(
        f"{case.out} exists and was made with other settings; give another --out, or --overwrite"
    )


def _check_all(
    cases: list[Case],
    shape: Shape,
    model: str,
    strategy: str | None,
    mask: Path | None,
    vae: Path | None,
    *,
    dry_run: bool,
) -> CaseInputs | None:
    """Find whatever is wrong with the model's folder or any case before anything long begins.

    Returns what was read, where it is one case's.
    """
    from outofsight.cli.loading import empty_model
    from outofsight.sampling.plan import VideoSize, token_grid

    networks = empty_model(model, strategy, whole=dry_run, decoder=vae)
    transformer, inputs = networks["transformer"], None
    for case in cases:
        inputs = read_case(case, shape)
        height, width = inputs.video.shape[1:3]
        size = VideoSize(
            height=height, width=width, context_frames=shape.frames[0], target_frames=shape.frames[1]
        )
        token_grid(transformer, networks["vae"], size)
        if mask is not None:
            _masks(mask, inputs, shape, transformer)
        elif transformer.needs_subject_masks != "none":
            raise InputError(
                f"--mask: this model ({transformer.config['memory_strategy']}) is told where subjects are; give a "
                "video of them, white on black"
            )
    return inputs if len(cases) == 1 else None


def _load(
    model: str, device: str, dtype: str | None, offload: str, vae: Path | None
) -> "tuple[WorldModel, float]":
    from outofsight.cli.loading import load_world

    start = time.perf_counter()
    world = load_world(model, device, dtype, offload, vae)
    return world, time.perf_counter() - start


def _masks(
    mask: Path, inputs: CaseInputs, shape: Shape, transformer: "HydraTransformer3DModel"
) -> "NDArray[np.uint8]":
    """Read the subjects' masks of the frames that the model is told of: 0 nobody, 1 somebody [n, height, width].

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


def _run(
    world: "WorldModel",
    case: Case,
    inputs: CaseInputs,
    masks: "NDArray[np.uint8] | None",
    sampling: "SamplingSettings",
    tile_vae: bool,
    save_retrieval: bool,
    console: Console,
) -> "Continuation":
    from outofsight.codec.video_vae import LatentTiling

    with shown_progress(console, case.name) as show:
        return world.continue_video(
            inputs.video,
            inputs.context,
            inputs.target,
            case.prompt,
            sampling,
            subject_masks=masks,
            tiling=LatentTiling() if tile_vae else None,
            record_retrieval=save_retrieval,
            on_progress=lambda stage, done, total: show(done, total, f"{case.name} {stage}"),
        )


def _write(
    case: Case,
    inputs: CaseInputs,
    result: "Continuation",
    with_context: bool,
    fps: float,
    record: dict[str, Any],
) -> None:
    """Write the record first: by it what is there is known to be ours, and a video without one is somebody's."""
    import numpy as np

    from outofsight.data.video import write_video

    shown = np.concatenate((inputs.video, result.video)) if with_context else result.video
    with explained(case.out):
        case.out.unlink(missing_ok=True)  # of other settings: the record to come is not its own
    write_json(_sidecar(case), record, indent=2)
    if result.retrieval is not None:
        result.retrieval.save(_retrieved(case))
    write_video(case.out, shown, fps)


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
