"""Contact sheets of subjects in a plain studio, rendered by MuJoCo Warp.

Run as ``python -m outofsight.worlds.subjects.sheet OUT.png``. Every subject gets a studio of its own.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import mujoco_warp
import numpy as np
import warp
from numpy.typing import NDArray
from PIL import Image

from outofsight.errors import WorldError
from outofsight.worlds.subjects.catalogue import (
    SubjectBody,
    add_subject,
    animate,
    recipe_of,
    subject_catalogue,
)
from outofsight.worlds.subjects.gait import stride_length

FIELD_OF_VIEW_RAD = 0.5


@dataclass(frozen=True, kw_only=True)
class Sitter:
    """One picture: who, in which look, seen from where (0 from the front, positive to its left), how far along."""

    kind: str
    look_seed: int = 0
    azimuth_rad: float = 0.62
    pace: str = "walk"  # "idle", "walk" or "run"
    distance_m: float = 3.1
    without: frozenset[str] = frozenset()


def contact_sheet(sitters: Sequence[Sitter], *, columns: int, tile_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Render every sitter in a tile of ``tile_px`` (width, height); uint8 [height, width, 3]."""
    return _mosaic(np.stack([portrait(sitter, tile_px) for sitter in sitters]), columns)


def portrait(sitter: Sitter, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Render one sitter, anti-aliased 2×2; uint8 [height, width, 3]."""
    width, height = size_px
    spec = _studio()
    body = add_subject(
        spec, sitter.kind, prefix="sitter/", look_seed=sitter.look_seed, without=sitter.without
    )
    _add_camera(spec, sitter, body, width / height)
    model = spec.compile()
    data = mujoco.MjData(model)
    _pose(model, data, sitter, body)
    mujoco.mj_forward(model, data)
    double = _shoot(model, data, (2 * width, 2 * height))
    halved = double.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    return np.round(255 * np.clip(halved, 0, 1)).astype(np.uint8)


def _studio() -> mujoco.MjSpec:
    """A grey-green floor under a pale sky, one sun."""
    spec = mujoco.MjSpec()
    spec.stat.extent = 1.0
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 400.0
    spec.visual.headlight.active = 0
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.60, 0.72, 0.86),
        rgb2=(0.86, 0.90, 0.93),
        width=64,
        height=384,
    )
    spec.add_material(name="floor", rgba=(0.62, 0.64, 0.58, 1.0), specular=0.0, shininess=0.0)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0, 0, 1), material="floor")
    sun = spec.worldbody.add_light(dir=(-0.55, -0.35, -1.0), type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    sun.diffuse, sun.ambient, sun.specular = (0.72, 0.69, 0.62), (0.42, 0.44, 0.48), (0.15, 0.15, 0.15)
    return spec


def _add_camera(spec: mujoco.MjSpec, sitter: Sitter, body: SubjectBody, aspect: float) -> None:
    """Look at the middle of the body from where it fills the tile."""
    half = np.asarray(body.half_extents_m)
    beside = abs(np.sin(sitter.azimuth_rad)) * half[0] + abs(np.cos(sitter.azimuth_rad)) * half[1]
    away = 1.07 * max(half[2] * 1.04, beside / aspect) / np.tan(FIELD_OF_VIEW_RAD / 2) + half[0]
    raised = 0.12
    level = np.array([np.cos(sitter.azimuth_rad), np.sin(sitter.azimuth_rad), 0.0])
    backward = np.append(np.cos(raised) * level[:2], np.sin(raised))
    right = np.array([-level[1], level[0], 0.0])
    middle = np.array([body.centre_m[0], 0.0, half[2]])
    camera = spec.worldbody.add_camera(name="camera", pos=middle + away * backward)
    camera.fovy = np.degrees(FIELD_OF_VIEW_RAD)
    camera.alt.type = mujoco.mjtOrientation.mjORIENTATION_XYAXES
    camera.alt.xyaxes = (*right, *np.cross(backward, right))


def _pose(model: mujoco.MjModel, data: mujoco.MjData, sitter: Sitter, body: SubjectBody) -> None:
    kind = body.kind
    speed = {"idle": 0.0, "walk": kind.walk_speed_m_s, "run": kind.run_speed_m_s}[sitter.pace]
    metres = np.linspace(0.0, sitter.distance_m, 60) if speed > 0 else np.zeros(60)
    seconds = metres / speed if speed > 0 else np.linspace(0.0, 2.0, 60)
    angles, offset = animate(kind.name, distance_m=metres, speed_m_s=np.full(60, speed), time_s=seconds)
    start = model.jnt_qposadr[model.joint(body.root).id]
    data.qpos[start : start + 7] = (0.0, 0.0, offset[-1], 1.0, 0.0, 0.0, 0.0)
    data.qpos[[model.jnt_qposadr[model.joint(name).id] for name in body.joints]] = angles[-1]


def _shoot(model: mujoco.MjModel, data: mujoco.MjData, size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Render the one camera: float32 [height, width, 3] in [0, 1]."""
    warp_model, warp_data = mujoco_warp.put_model(model), mujoco_warp.put_data(model, data)
    context = mujoco_warp.create_render_context(
        model, cam_res=size_px, render_rgb=True, use_shadows=True, render_skybox=True
    )
    mujoco_warp.refit_bvh(warp_model, warp_data, context)
    mujoco_warp.render(warp_model, warp_data, context)
    picture = warp.zeros((1, size_px[1], size_px[0]), dtype=warp.vec3f)
    mujoco_warp.get_rgb(context, 0, picture)
    return picture.numpy()[0]


def _mosaic(tiles: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    _, height, width, _ = tiles.shape
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + height, left : left + width] = tile
    return sheet


def catalogue_sitters(look_seed: int) -> tuple[Sitter, ...]:
    """Every kind once, from its front left."""
    return tuple(Sitter(kind=name, look_seed=look_seed) for name in subject_catalogue())


def gait_sitters(kinds: Sequence[str], pace: str, num_phases: int) -> tuple[Sitter, ...]:
    """Each kind from its left side through one stride."""
    sitters = []
    for kind in kinds:
        recipe = recipe_of(kind)
        if recipe.gait is None:
            raise WorldError(f"{kind} has no legs: choose kinds that walk")
        speed = recipe.kind.run_speed_m_s if pace == "run" else recipe.kind.walk_speed_m_s
        stride = float(stride_length(recipe.gait, np.array([speed]))[0])
        for phase in range(num_phases):
            metres = (3.0 + phase / num_phases) * stride
            sitters.append(
                Sitter(kind=kind, look_seed=3, azimuth_rad=np.pi / 2, pace=pace, distance_m=metres)
            )
    return tuple(sitters)


def main() -> None:
    """Write the sheet of all kinds, or the strides of some."""
    parser = argparse.ArgumentParser(description="Draw a contact sheet of the subjects")
    parser.add_argument("out", type=Path, help="where to write the PNG")
    parser.add_argument("--seed", type=int, default=3, help="look seed")
    parser.add_argument(
        "--tile", type=int, nargs=2, default=(140, 160), metavar=("W", "H"), help="pixels of a tile"
    )
    parser.add_argument("--columns", type=int, default=7)
    parser.add_argument(
        "--strides", nargs="+", metavar="KIND", help="one stride of each of these kinds instead"
    )
    parser.add_argument("--pace", choices=("walk", "run"), default="walk")
    options = parser.parse_args()
    sitters = catalogue_sitters(options.seed)
    if options.strides:
        sitters = gait_sitters(options.strides, options.pace, options.columns)
    sheet = contact_sheet(sitters, columns=options.columns, tile_px=tuple(options.tile))
    Image.fromarray(sheet).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
