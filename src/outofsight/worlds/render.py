"""From posed worlds to pictures: RGB, exact instance ids, metric depth.

MuJoCo Warp is the renderer (CPU and CUDA): the frames of a clip are the worlds of its batch. MuJoCo's OpenGL renderer
is the second; each checks the other. Both trace or draw at a multiple of the size asked, and average.
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from outofsight.errors import OutputError, WorldError
from outofsight.worlds.model import CAMERA_NAME, World, WorldPoses, instance_table, pose_world

RENDERERS = ("warp", "opengl")
RAYS_PER_BATCH = 6_000_000  # bounds the memory of a batch of frames to about 100 MB


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """How to render. ``supersampling`` k: k×k samples a pixel; ``depth``: keep metric depth too.

    ``device``: a Warp device such as ``cpu`` or ``cuda:0``; ``None`` takes Warp's preferred one.
    """

    renderer: Literal["warp", "opengl"] = "warp"
    supersampling: int = 2
    shadows: bool = True
    depth: bool = False
    device: str | None = None

    def __post_init__(self) -> None:
        if self.renderer not in RENDERERS:
            raise WorldError(f"renderer: expected one of {', '.join(RENDERERS)}, got {self.renderer!r}")
        if not 1 <= self.supersampling <= 4:
            raise WorldError(
                f"supersampling: expected 1 to 4 samples along each side, got {self.supersampling}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendering:
    """``rgb`` uint8 [n, h, w, 3]; ``ids`` uint8 [n, h, w] (0 scenery, then subjects from 1); ``depth_m`` or ``None``.

    Depth is measured along the camera's axis, in metres, to the nearest of a pixel's samples; inf in the sky.
    """

    rgb: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None


def render_world(
    world: World, poses: WorldPoses | None = None, settings: RenderSettings | None = None
) -> Rendering:
    """Render every frame of a world. Raises ``WorldError`` if the renderer asked for cannot run here."""
    poses, settings = poses or pose_world(world), settings or RenderSettings()
    draw = _warp_frames if settings.renderer == "warp" else _opengl_frames
    table = instance_table(world)
    rgb, ids, depths = [], [], []
    for colours, geoms, depth in draw(world, poses, settings):
        rgb.append(average_colours(colours, settings.supersampling))
        ids.append(vote_ids(table[geoms], settings.supersampling))
        if depth is not None:
            depths.append(nearest_depth(depth, settings.supersampling))
    return Rendering(
        rgb=np.concatenate(rgb), ids=np.concatenate(ids), depth_m=np.concatenate(depths) if depths else None
    )


Batch = tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32] | None]
"""Some frames at the larger size: RGB [b, kh, kw, 3 or 4], geom numbers (−1: nothing) and depth (0: nothing)."""


def batch_frames(num_frames: int, rays_per_frame: int) -> int:
    """Give how many frames to trace at once: all batches equal or nearly so, none above ``RAYS_PER_BATCH``."""
    most = max(1, RAYS_PER_BATCH // rays_per_frame)
    return int(np.ceil(num_frames / np.ceil(num_frames / most)))


def average_colours(colours: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Average factor×factor blocks of [b, kh, kw, c ≥ 3] and keep RGB, rounding to nearest."""
    if factor == 1:
        return np.ascontiguousarray(colours[..., :3])
    total = np.zeros(
        (len(colours), colours.shape[1] // factor, colours.shape[2] // factor, 3), dtype=np.uint16
    )
    for row in range(factor):
        for column in range(factor):
            total += colours[:, row::factor, column::factor, :3]
    count = factor * factor
    return ((total + count // 2) // count).astype(np.uint8)


def vote_ids(ids: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Give each pixel the id of most of its samples; a tie goes to the larger id, so a subject wins over scenery."""
    samples = [ids[:, row::factor, column::factor] for row in range(factor) for column in range(factor)]
    winner = samples[0].copy()
    mixed = np.zeros(winner.shape, dtype=bool)
    for sample in samples[1:]:
        mixed |= sample != samples[0]
    votes = np.stack([sample[mixed] for sample in samples])
    counts = (votes[:, None] == votes[None]).sum(axis=0)
    order = counts.astype(np.int32) * 256 + votes
    winner[mixed] = (order.max(axis=0) % 256).astype(np.uint8) if mixed.any() else 0
    return winner


def nearest_depth(depth: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Give each pixel the depth of its nearest sample; samples of 0 hit nothing; inf where all hit nothing."""
    known = np.where(depth > 0, depth, np.float32(np.inf))
    samples = [known[:, row::factor, column::factor] for row in range(factor) for column in range(factor)]
    return np.minimum.reduce(samples)


def check_rendering(settings: RenderSettings) -> None:
    """Raise ``OutputError`` if the renderer cannot begin, before anything is written."""
    if settings.renderer == "warp":
        _warp()


@cache
def _warp() -> tuple[Any, Any]:
    """Import Warp and MuJoCo Warp, quietly: they greet, and warn of every graphics card that is not there.

    Raises:
        OutputError: there is no place for the kernels that are compiled.
    """
    with contextlib.redirect_stdout(io.StringIO()), _silent_errors():
        import warp  # noqa: PLC0415

        warp.config.log_level = logging.ERROR
        try:
            warp.init()
        except OSError as error:
            raise OutputError(
                f"{error.filename or 'the cache of kernels'}: compiled kernels cannot be kept there "
                f"({error.strerror or error}); name a folder for them: WARP_CACHE_PATH=FOLDER"
            ) from error
        import mujoco_warp  # noqa: PLC0415
    return warp, mujoco_warp


@contextlib.contextmanager
def _silent_errors() -> Iterator[None]:
    """Close the process's error stream for a moment: Warp's native part writes to it past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _warp_frames(world: World, poses: WorldPoses, settings: RenderSettings) -> Iterator[Batch]:
    """Trace the clip in batches of frames; a batch's frames are the worlds of one Warp launch."""
    warp, mujoco_warp = _warp()
    spec, factor = world.spec, settings.supersampling
    height, width = spec.height_px * factor, spec.width_px * factor
    batch = batch_frames(spec.num_frames, height * width)
    with warp.ScopedDevice(settings.device or warp.get_preferred_device()):
        model = mujoco_warp.put_model(world.model)
        data = mujoco_warp.make_data(world.model, nworld=batch)
        context = mujoco_warp.create_render_context(
            world.model, nworld=batch, cam_res=(width, height), render_rgb=True, render_seg=True,
            render_depth=settings.depth, use_shadows=settings.shadows, render_skybox=True,
        )  # fmt: skip
        _place_lights(world.model, data, batch)
        for begin in range(0, spec.num_frames, batch):
            frames = np.minimum(np.arange(begin, begin + batch), spec.num_frames - 1)
            kept = min(batch, spec.num_frames - begin)
            data.geom_xpos.assign(poses.geom_position_m[frames])
            data.geom_xmat.assign(poses.geom_rotation[frames])
            data.cam_xpos.assign(poses.camera_position_m[frames, None])
            data.cam_xmat.assign(poses.camera_rotation[frames, None])
            mujoco_warp.refit_bvh(model, data, context)
            mujoco_warp.render(model, data, context)
            packed = context.rgb_data.numpy()[:kept].view(np.uint8).reshape(kept, height, width, 4)
            geoms = context.seg_data.numpy()[:kept, :, 0].reshape(kept, height, width)
            depth = context.depth_data.numpy()[:kept].reshape(kept, height, width) if settings.depth else None
            yield packed[..., 2::-1], geoms, depth  # packed as blue, green, red, alpha


def _place_lights(model: mujoco.MjModel, data: Any, batch: int) -> None:
    """All lights hang on the world: their places are the same in every frame."""
    data.light_xpos.assign(np.repeat(model.light_pos[None].astype(np.float32), batch, axis=0))
    data.light_xdir.assign(np.repeat(model.light_dir[None].astype(np.float32), batch, axis=0))


def _opengl_frames(world: World, poses: WorldPoses, settings: RenderSettings) -> Iterator[Batch]:
    """Draw the clip frame by frame with MuJoCo's own renderer."""
    spec, factor, model = world.spec, settings.supersampling, world.model
    with _opengl_renderer(model, spec.height_px * factor, spec.width_px * factor) as renderer:
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = settings.shadows
        for frame in range(spec.num_frames):
            data.geom_xpos[:] = poses.geom_position_m[frame]
            data.geom_xmat[:] = poses.geom_rotation[frame].reshape(-1, 9)
            data.cam_xpos[:] = poses.camera_position_m[frame]
            data.cam_xmat[:] = poses.camera_rotation[frame].reshape(-1, 9)
            renderer.disable_segmentation_rendering()
            renderer.update_scene(data, camera=CAMERA_NAME)
            rgb = renderer.render()[None]
            depth = _opengl_depth(renderer, model)[None] if settings.depth else None
            renderer.enable_segmentation_rendering()
            seen = renderer.render()
            is_geom = seen[..., 1] == mujoco.mjtObj.mjOBJ_GEOM
            yield rgb, np.where(is_geom, seen[..., 0], -1)[None], depth


def _opengl_depth(renderer: mujoco.Renderer, model: mujoco.MjModel) -> NDArray[np.float32]:
    renderer.enable_depth_rendering()
    depth = renderer.render().astype(np.float32)
    renderer.disable_depth_rendering()
    far = model.stat.extent * model.vis.map.zfar
    return np.where(depth >= 0.99 * far, 0.0, depth).astype(np.float32)


@contextlib.contextmanager
def _opengl_renderer(model: mujoco.MjModel, height_px: int, width_px: int) -> Iterator[mujoco.Renderer]:
    try:
        renderer = mujoco.Renderer(model, height=height_px, width=width_px)
    except Exception as error:  # MuJoCo raises whatever its GL platform raises
        platform = os.environ.get("MUJOCO_GL", "unset")
        raise WorldError(
            f"MuJoCo's OpenGL renderer cannot start here (MUJOCO_GL is {platform}: {error}); "
            f"set MUJOCO_GL=egl or MUJOCO_GL=osmesa before starting, or use the warp renderer"
        ) from error
    try:
        yield renderer
    finally:
        renderer.close()


def opengl_available() -> bool:
    """Tell whether MuJoCo's OpenGL renderer can run here."""
    try:
        with _opengl_renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 16, 16):
            return True
    except WorldError:
        return False
