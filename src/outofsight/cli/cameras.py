"""``outofsight cameras``: a video's own camera path, or one that another program has estimated → a pose file."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from outofsight.cli.estimating import estimate
from outofsight.cli.values import DryRun
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError, OutputError
from outofsight.geometry.camera_files import cameras_of_many, read_one_of_many
from outofsight.geometry.json_files import read_camera_json
from outofsight.geometry.pose_files import write_poses
from outofsight.geometry.reconstructions import read_reconstruction
from outofsight.types import CameraPath


def build() -> typer.Typer:
    """Gather the verbs."""
    app = typer.Typer(help="Camera paths: of a video itself, or from elsewhere.", no_args_is_help=True)
    app.command("estimate")(estimate)
    app.command("import")(import_cameras)
    return app


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
    if out.exists():
        raise OutputError(f"{out} exists already; choose a new --out, so that nothing is overwritten")
    check_outputs([out], [source])
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
