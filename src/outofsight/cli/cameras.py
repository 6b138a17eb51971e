"""``outofsight cameras``: a video's own camera path, or one that another program has estimated → a pose file."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from outofsight.cli.options import DryRun, group
from outofsight.cli.progress import say, shown_progress
from outofsight.cli.values import check_fov
from outofsight.data.outputs import claimed, refuse_existing
from outofsight.errors import InputError
from outofsight.files import write_json
from outofsight.geometry.camera_files import cameras_of_many, read_one_of_many
from outofsight.geometry.json_files import read_camera_json
from outofsight.geometry.pose_files import write_poses
from outofsight.geometry.reconstructions import read_reconstruction
from outofsight.types import CameraPath

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from outofsight.camera_estimation.matches import Masks, Video


def build_cameras() -> typer.Typer:
    """Gather the verbs."""
    return group(
        "Camera paths: of a video itself, or from elsewhere.", estimate, **{"import": import_cameras}
    )


def import_cameras(
    source: Annotated[
        Path,
        typer.Argument(
            help="COLMAP or nerfstudio folder, transforms.json, .npz of ViPE, VGGT, MapAnything, JSON of ReCamMaster"
        ),
    ],
    out: Annotated[Path, typer.Option(help="the pose file to write (.json)")],
    camera: Annotated[
        str | None, typer.Option(help="which of several cameras, such as cam01 (ReCamMaster's files)")
    ] = None,
    metres_per_unit: Annotated[
        float | None, typer.Option(help="scale of the source's unit (default: 1, so distances are arbitrary)")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Write the cameras of a reconstruction as a pose file, which every verb here reads."""
    if metres_per_unit is not None and not 0 < metres_per_unit < 1e6:
        raise InputError(f"--metres-per-unit: expected a number above 0, got {metres_per_unit:g}")
    refuse_existing(out, [source], is_file=True)
    cameras = _read(source, camera)
    if metres_per_unit is not None:
        poses = cameras.world_from_camera.copy()
        poses[:, :, 3] *= metres_per_unit
        cameras = replace(cameras, world_from_camera=poses)
    if not dry_run:
        with claimed(out, new=True):
            write_poses(out, cameras)
    lens = "its lens" if cameras.intrinsics else "no lens (say --fov where it is used)"
    scale = "" if metres_per_unit is not None else "; distances are in the source's own unit"
    typer.echo(f"{'would write' if dry_run else 'wrote'} {out}: {len(cameras)} frames, {lens}{scale}")


def _read(source: Path, camera: str | None) -> CameraPath:
    """Read a reconstruction, or one camera of a file that holds several."""
    if source.suffix.lower() == ".json" and source.is_file() and cameras_of_many(read_camera_json(source)):
        return read_one_of_many(source, camera)
    if camera is not None:
        raise InputError(f"--camera: {source} holds one camera alone; leave it out")
    return read_reconstruction(source)


MASK_LEVEL = 128
MOST_HEIGHT_M = 1000.0
ARBITRARY = "distances are arbitrary (the scenery is taken to be 5 m away)"


def estimate(
    video: Annotated[Path, typer.Argument(help="a video of a place, filmed by one camera without cuts")],
    out: Annotated[
        Path, typer.Option(help="the pose file to write (.json); a picture and a verdict come beside it")
    ],
    fov: Annotated[
        float | None, typer.Option(callback=check_fov, help="the lens, in degrees across, if it is known")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="video of what moves by itself, white on black, frame for frame")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="mask what this detector finds: mini, a name, a folder or a file")
    ] = None,
    height_m: Annotated[
        float | None, typer.Option(help="height of the first camera above the ground, which gives the scale")
    ] = None,
    num_frames: Annotated[int | None, typer.Option(min=8, help="only the first so many frames")] = None,
) -> None:
    """Estimate a video's cameras. What cannot be believed is refused, and nothing is written."""
    from outofsight.camera_estimation.estimate import estimate_cameras, notes_on_file
    from outofsight.camera_estimation.path_picture import write_path_picture
    from outofsight.data.video import read_video

    if height_m is not None and not 0 < height_m < MOST_HEIGHT_M:
        raise InputError(f"--height-m: expected metres above 0 and below {MOST_HEIGHT_M:g}, got {height_m:g}")
    if masks is not None and detector is not None:
        raise InputError("--masks and --detector both say what moves; give one of them")
    if out.suffix.lower() != ".json":
        raise InputError(f"--out: expected a name that ends in .json, got {out}")
    picture, report = out.with_suffix(".png"), out.with_suffix(".verdict.json")
    for path in (out, picture, report):
        refuse_existing(path, [video, masks], is_file=True)
    for note in notes_on_file(video):
        say(note)
    frames = read_video(video, num_frames=num_frames).frames
    moving = moving_in(frames, masks, detector)
    with claimed(out):
        for path in (out, picture, report):  # again, under the lock: another process may have been quicker
            refuse_existing(path, [], is_file=True)
        with shown_progress(Console(stderr=True), video.name) as show:
            found = estimate_cameras(
                frames, fov_x_deg=fov, masks=moving, height_m=height_m,
                progress=lambda stage, done, total: show(done, total, stage),
            )  # fmt: skip
        found.verdict.check(str(video))
        write_json(
            report, {"video": video.name, **found.verdict.to_dict(), "metric": found.scale_is_known}, indent=1
        )
        write_path_picture(picture, found.cameras, f"{video.name}: {found.verdict}")
        write_poses(out, found.cameras)
    unit = "" if found.scale_is_known else f"; {ARBITRARY}: --height-m tells"
    typer.echo(f"{found.verdict}\nwrote {out}, {picture.name} and {report.name}{unit}")


KNOWN: "dict[tuple[str, int, int, float | None], tuple[CameraPath, tuple[str, ...]]]" = {}


def estimated_context(
    video: "Video", path: Path, fov_x_deg: float | None
) -> "tuple[CameraPath, tuple[str, ...]]":
    """Estimate the cameras of a context, and say how; once, though cases are read before anything long begins and
    again when it is their turn.

    Raises:
        CameraError: they cannot be believed.
    """
    from outofsight.camera_estimation.estimate import estimate_cameras, notes_on_file

    key = (str(path.resolve()), path.stat().st_mtime_ns, len(video), fov_x_deg)
    if key not in KNOWN:
        found = estimate_cameras(video, fov_x_deg=fov_x_deg)
        found.verdict.check(str(path))
        unit = () if found.scale_is_known else (ARBITRARY,)
        KNOWN[key] = (found.cameras, (*notes_on_file(path), f"cameras estimated: {found.verdict}", *unit))
    return KNOWN[key]


def moving_in(frames: "Video", masks: Path | None, detector: str | None) -> "Masks | None":
    """Read or find what moves by itself: bool [n, height, width]; ``None``: nobody tells.

    Raises:
        InputError: masks of other frames, or a detector that is not there.
    """
    if masks is not None:
        from outofsight.data.video import read_video

        seen = read_video(masks, num_frames=len(frames)).frames
        if seen.shape != frames.shape:
            raise InputError(
                f"{masks}: {seen.shape[1]}×{seen.shape[2]} pixels, the video has {frames.shape[1]}×{frames.shape[2]}; "
                "give masks of the same size"
            )
        return seen.mean(axis=3) >= MASK_LEVEL
    return None if detector is None else _found(frames, detector)


def _found(frames: "Video", detector: str) -> "NDArray[np.bool_]":
    import numpy as np

    from outofsight.perception.named import subject_detector

    hidden = np.zeros(frames.shape[:3], dtype=bool)
    for number, subjects in enumerate(subject_detector(detector).detect(frames)):
        for subject in subjects:
            if subject.mask is not None:
                hidden[number] |= subject.mask
                continue
            left, top, right, bottom = subject.box_px.round().astype(int).tolist()
            hidden[number, max(top, 0) : bottom, max(left, 0) : right] = True
    return hidden
