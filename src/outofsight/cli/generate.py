"""``outofsight generate``: continue real videos."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from outofsight.cli import options as opt
from outofsight.cli.cases import Case, CaseInputs, Continued, Shape, files_of, find_cases, is_clip, read_case
from outofsight.cli.progress import say, shown_progress
from outofsight.cli.provenance import provenance
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError, OutputError
from outofsight.files import explained, write_json
from outofsight.model_folders import present_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from outofsight.backbone.transformer import HydraTransformer3DModel
    from outofsight.sampling.continuation import Continuation
    from outofsight.sampling.world import WorldModel

OURS = {"video", "camera", "prompt", "sampling", "versions"}
"""What the record of a run of ours holds, by which it is told from other files of that name."""

MASK_LEVEL = 128
"""Of 255: mask videos are compressed, their black and white are not exact."""


@dataclass(frozen=True, kw_only=True)
class Generate(Continued):
    """What ``generate`` is asked for."""

    video: Annotated[
        Path,
        typer.Option(
            help="context video; a clip's folder; or a folder of cases (N.mp4, camN.json, caption.txt)"
        ),
    ]
    out: Annotated[Path, typer.Option(help="the .mp4 to make, or a folder for a folder of cases")]
    camera: opt.Camera = None
    context_camera: opt.ContextCamera = None
    prompt: opt.Prompt = None
    mask: Annotated[
        Path | None,
        typer.Option(help="video of the subjects, white on black, for models that need such masks"),
    ] = None
    settings: opt.Settings = None
    with_context: opt.WithContext = False
    save_retrieval: Annotated[
        bool, typer.Option(help="also write which memory each frame retrieved, at each step and layer")
    ] = False
    repair: Annotated[
        list[str] | None,
        typer.Option(help="permit a repair of a camera file by name, or 'published' for all"),
    ] = None
    resample: opt.Resample = False
    overwrite: Annotated[bool, typer.Option(help="make outputs again that exist with other settings")] = False
    dry_run: opt.DryRun = False
    offload: opt.Offload = "none"
    quantize: opt.Quantize = "none"
    attention_chunk: opt.AttentionChunk = None
    tile_vae: opt.TileVae = False
    vae: opt.Vae = None

    def request(self, case: Case) -> dict[str, Any]:
        """What determines a case's result: written beside it, and compared before making it again."""
        return {
            "video": str(case.video),
            "camera": case.camera,
            "context_camera": case.context_camera,
            "prompt": case.prompt,
            "model": self.path,
            "strategy": self.strategy,
            "mask": str(self.mask) if self.mask else None,
            "sampling": asdict(self.sampling),
            "frames": list(self.shape.frames),
            "size": list(self.shape.size) if self.shape.size else None,
            "repairs": list(self.shape.repairs),
            "fov": self.fov,
            "with_context": self.with_context,
            "tile_vae": self.tile_vae,
            "dtype": self.dtype,
            **({"resample": True} if self.resample else {}),
            **({} if self.quantize == "none" else {"quantize": self.quantize}),
            **({} if self.vae is None else {"vae": str(self.vae)}),
        }


@opt.takes(Generate)
def generate(asked: Generate) -> None:
    """Continue a video, or every video of a folder, along a camera path."""
    from outofsight.cli.loading import check_loading, load_world

    cases = find_cases(asked.video, asked.camera, asked.context_camera, asked.prompt, asked.out)
    if asked.mask is not None and len(cases) > 1:
        raise InputError("--mask: goes with one video, not with a folder of cases")
    check_loading(asked)
    for case in cases:
        _check_place(case, asked, several=len(cases) > 1)
    remaining = [case for case in cases if not _is_done(case, asked)]
    inputs = _check_inputs(remaining, asked)
    if asked.dry_run:
        for case in remaining:
            say(f"would write {case.out}: {json.dumps(asked.request(case), ensure_ascii=False)}")
    elif remaining:
        with claimed(asked.out, filled=asked.out.suffix.lower() != ".mp4"):
            start = time.perf_counter()
            world = load_world(asked)
            load_seconds = time.perf_counter() - start
            for case in remaining:
                _continue_case(world, case, inputs or read_case(case, asked.shape), asked, load_seconds)


def _continue_case(
    world: "WorldModel", case: Case, inputs: CaseInputs, asked: Generate, load_seconds: float
) -> None:
    from outofsight.cli.lenses import lens_record
    from outofsight.codec.video_vae import LatentTiling

    for note in inputs.notes:
        say(f"{case.name}: {note}")
    masks = None if asked.mask is None else _masks(asked.mask, inputs, asked.shape, world.transformer)
    with shown_progress(Console(stderr=True), case.name) as show:
        result = world.continue_video(
            inputs.video,
            inputs.context,
            inputs.target,
            case.prompt,
            asked.sampling,
            subject_masks=masks,
            tiling=LatentTiling() if asked.tile_vae else None,
            record_retrieval=asked.save_retrieval,
            on_progress=lambda stage, done, total: show(done, total, f"{case.name} {stage}"),
        )
    record = {
        **asked.request(case),
        "notes": list(inputs.notes),
        "intrinsics": lens_record(world, inputs.lens, *inputs.video.shape[1:3]),
        "fps": asked.shape.fps,
        **_measured(result, load_seconds, world),
    }
    if asked.save_retrieval and result.retrieval is None:
        record["retrieves_nothing"] = True
        say(f"{case.name}: this model retrieves no slices, so there is nothing to save of them")
    _write(case, inputs, result, record)
    say(f"wrote {case.out}")


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


def _check_place(case: Case, asked: Generate, *, several: bool) -> None:
    """Refuse to write over inputs, and over what was not made by us. Raises ``OutputError``."""
    writes = [case.out, _sidecar(case), *([_retrieved(case)] if asked.save_retrieval else [])]
    folder = asked.video if several or is_clip(asked.video) else None
    reads = [*files_of(case), asked.path, asked.mask, asked.vae, asked.prompt, folder]
    check_outputs(writes, reads, ours=_record(case) is not None)


def _is_done(case: Case, asked: Generate) -> bool:
    """Tell whether a case's outputs are there and were made by the same request.

    Raises:
        OutputError: outputs of another request are in the way, or lack what is asked for, without ``--overwrite``.
    """
    if not case.out.exists() or asked.overwrite:
        return False
    record = _record(case) or {}
    if any(record.get(key) != value for key, value in asked.request(case).items()):
        raise OutputError(
            f"{case.out} exists and was made with other settings; give another --out, or --overwrite"
        )
    if asked.save_retrieval and not record.get("retrieves_nothing") and not _retrieved(case).exists():
        raise OutputError(
            f"{case.out} is there already, but what it retrieved was not saved; --overwrite makes both anew"
        )
    say(f"{case.out} is there already, made with these settings")
    return True


def _check_inputs(cases: list[Case], asked: Generate) -> CaseInputs | None:
    """Find whatever is wrong with the model's folder or any case. Returns what was read, where it is one case's."""
    from outofsight.cli.loading import check_room, empty_model
    from outofsight.sampling.plan import VideoSize, token_grid

    shape, guidance_scale = asked.shape, asked.sampling.guidance_scale
    networks = empty_model(asked, whole=asked.dry_run)
    transformer, inputs, sizes = networks["transformer"], None, []
    for case in cases:
        inputs = read_case(case, shape)
        for note in inputs.notes if asked.dry_run else ():  # a run says it when it is the case's turn
            say(f"{case.name}: {note}")
        height, width = inputs.video.shape[1:3]
        sizes.append(
            VideoSize(
                height=height, width=width, context_frames=shape.frames[0], target_frames=shape.frames[1]
            )
        )
        token_grid(transformer, networks["vae"], sizes[-1])
        if asked.mask is not None:
            _masks(asked.mask, inputs, shape, transformer)
        elif transformer.needs_subject_masks != "none":
            raise InputError(
                f"--mask: this model ({transformer.config['memory_strategy']}) needs subject masks; give a "
                "video of them, white on black"
            )
    if sizes:
        largest = max(sizes, key=lambda size: size.height * size.width)
        check_room(asked, largest, guidance_scale=guidance_scale)
    return inputs if len(cases) == 1 else None


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


def _write(case: Case, inputs: CaseInputs, result: "Continuation", record: dict[str, Any]) -> None:
    """Write the record first: by it what is there is known to be ours, and a video without one is somebody's."""
    import numpy as np

    from outofsight.data.video import write_video

    shown = np.concatenate((inputs.video, result.video)) if record["with_context"] else result.video
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
