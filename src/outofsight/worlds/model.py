"""A spec as a MuJoCo model, and the pose of every geom in every frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.motion import WorldMotion, move_world
from outofsight.worlds.scenes import SceneLayout, add_scene, lay_out
from outofsight.worlds.scenes.layout import NUM_LIGHTS
from outofsight.worlds.spec import WorldSpec
from outofsight.worlds.subjects import SubjectBody, SubjectKind, add_subject, animate, subject_catalogue

CAMERA_NAME = "camera"
ABSENT_M = -500.0  # height at which geoms wait that a frame does not show
# Values that the renderers' kernels are specialised for are the same in all worlds: one compilation serves all.
EXTENT_M, NEAR_SHARE, FAR_SHARE = 1.0, 0.02, 400.0
PADDED_SHAPES = (
    mujoco.mjtGeom.mjGEOM_PLANE,
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_MESH,
)
# x right, y down, z forward (OpenCV) seen from x right, y up, z back (MuJoCo)
CAMERA_AXES = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True, kw_only=True, eq=False)
class SubjectModel:
    """One subject in the model: as it begins (``before``) and, where something comes off, as it goes on (``after``)."""

    subject_id: int
    kind: SubjectKind
    before: SubjectBody
    after: SubjectBody | None
    sheds_at_frame: int | None

    @property
    def bodies(self) -> tuple[SubjectBody, ...]:
        return (self.before,) if self.after is None else (self.before, self.after)


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A spec made ready: the compiled model, the scene's layout, the motion, the subjects in the spec's order."""

    spec: WorldSpec
    layout: SceneLayout
    motion: WorldMotion
    model: mujoco.MjModel
    subjects: tuple[SubjectModel, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class WorldPoses:
    """Where everything is in every frame: geoms [n, g, 3], [n, g, 3, 3]; camera [n, 3], [n, 3, 3] (MuJoCo axes)."""

    geom_position_m: NDArray[np.float32]
    geom_rotation: NDArray[np.float32]
    camera_position_m: NDArray[np.float32]
    camera_rotation: NDArray[np.float32]
    qpos: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.geom_position_m)


def build_world(spec: WorldSpec, layout: SceneLayout | None = None) -> World:
    """Build the model of a spec (``layout``: its scene's, if at hand). Raises ``WorldError`` for unknown names."""
    layout = layout or lay_out(spec.scene, spec.layout_seed, spec.light)
    builder = mujoco.MjSpec()
    add_scene(builder, layout)
    subjects = tuple(
        _add_subject(builder, spec, index, layout.subject_scale) for index in range(len(spec.subjects))
    )
    _fix_statics(builder)
    builder.worldbody.add_camera(name=CAMERA_NAME, fovy=np.degrees(spec.intrinsics.fov_y_rad))
    builder.visual.global_.offwidth = 4 * spec.width_px
    builder.visual.global_.offheight = 4 * spec.height_px
    try:
        model = builder.compile()
    except ValueError as error:
        raise WorldError(
            f"scene {spec.scene!r} with {len(spec.subjects)} subjects does not compile: {error}"
        ) from error
    return World(spec=spec, layout=layout, motion=move_world(spec), model=model, subjects=subjects)


def _add_subject(builder: mujoco.MjSpec, spec: WorldSpec, index: int, scale: float) -> SubjectModel:
    subject = spec.subjects[index]
    catalogue = subject_catalogue()
    if subject.kind not in catalogue:
        raise WorldError(f"unknown subject {subject.kind!r}; known are {', '.join(catalogue)}")
    prefix = f"subject_{index + 1}"
    before = add_subject(builder, subject.kind, prefix=f"{prefix}/", look_seed=subject.look_seed, scale=scale)
    after = None
    if subject.sheds is not None:
        after = add_subject(
            builder, subject.kind, prefix=f"{prefix}_after/", look_seed=subject.look_seed, scale=scale,
            without=frozenset([subject.sheds]),
        )  # fmt: skip
    return SubjectModel(
        subject_id=index + 1, kind=catalogue[subject.kind], before=before, after=after,
        sheds_at_frame=subject.sheds_at_frame,
    )  # fmt: skip


def _fix_statics(builder: mujoco.MjSpec) -> None:
    """Make equal what renderers compile in: clipping planes, headlight, number of lights, set of shapes."""
    builder.stat.extent = EXTENT_M
    builder.visual.map.znear, builder.visual.map.zfar = NEAR_SHARE, FAR_SHARE
    builder.visual.headlight.active = 0
    if len(builder.lights) != NUM_LIGHTS:
        raise WorldError(f"every scene brings {NUM_LIGHTS} lights, this one {len(builder.lights)}")
    triangle = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    builder.add_mesh(name="unseen", uservert=triangle)
    for shape in PADDED_SHAPES:
        of_mesh = shape == mujoco.mjtGeom.mjGEOM_MESH
        builder.worldbody.add_geom(
            name=f"unseen_{int(shape)}", type=shape, size=[0.01, 0.01, 0.01], pos=[0, 0, ABSENT_M],
            contype=0, conaffinity=0, meshname="unseen" if of_mesh else "",
        )  # fmt: skip


def pose_world(world: World) -> WorldPoses:
    """Pose every geom and the camera in every frame."""
    motion, num_frames = world.motion, world.spec.num_frames
    qpos = np.repeat(world.model.qpos0[None], num_frames, axis=0)
    for subject, path in zip(world.subjects, motion.paths, strict=True):
        angles, offset = animate(
            subject.kind.name, distance_m=path.distance_m, speed_m_s=path.speed_m_s, time_s=motion.time_s,
            heading_rad=path.heading_rad, scale=world.layout.subject_scale,
        )  # fmt: skip
        root = np.zeros((num_frames, 7))
        root[:, :2], root[:, 2] = path.position_m, offset
        root[:, 3], root[:, 6] = np.cos(path.heading_rad / 2), np.sin(path.heading_rad / 2)
        for body in subject.bodies:
            qpos[:, _root_address(world.model, body)] = root
            qpos[:, _joint_addresses(world.model, body)] = angles
    positions, rotations = _geom_poses(world.model, qpos)
    for geoms, frames in _absences(world):
        positions[frames, geoms, 2] = ABSENT_M
    camera = motion.world_from_camera
    return WorldPoses(
        geom_position_m=positions, geom_rotation=rotations, camera_position_m=camera[:, :, 3].astype(np.float32),
        camera_rotation=(camera[:, :, :3] @ CAMERA_AXES).astype(np.float32), qpos=qpos,
    )  # fmt: skip


def _root_address(model: mujoco.MjModel, body: SubjectBody) -> slice:
    joint = model.body_jntadr[model.body(body.root).id]
    start = int(model.jnt_qposadr[joint])
    return slice(start, start + 7)


def _joint_addresses(model: mujoco.MjModel, body: SubjectBody) -> list[int]:
    return [int(model.jnt_qposadr[model.joint(name).id]) for name in body.joints]


def _geom_poses(
    model: mujoco.MjModel, qpos: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run MuJoCo's kinematics on each frame: some microseconds a frame, exact, and the same on every machine."""
    data = mujoco.MjData(model)
    positions = np.empty((len(qpos), model.ngeom, 3), dtype=np.float32)
    rotations = np.empty((len(qpos), model.ngeom, 9), dtype=np.float32)
    for frame, state in enumerate(qpos):
        data.qpos[:] = state
        mujoco.mj_kinematics(model, data)
        positions[frame], rotations[frame] = data.geom_xpos, data.geom_xmat
    return positions, rotations.reshape(len(qpos), model.ngeom, 3, 3)


def _absences(world: World) -> Iterator[tuple[NDArray[np.intp], slice]]:
    """Give the geoms, and the frames in which they are not there: a coat that has come off, or not yet."""
    for subject in world.subjects:
        if subject.after is not None:
            yield geom_ids(world.model, subject.before), slice(subject.sheds_at_frame, None)
            yield geom_ids(world.model, subject.after), slice(0, subject.sheds_at_frame)


def geom_ids(model: mujoco.MjModel, body: SubjectBody) -> NDArray[np.intp]:
    """Give the model's geom numbers of one body."""
    return np.array([model.geom(name).id for name in body.geoms], dtype=np.intp)


def instance_table(world: World) -> NDArray[np.uint8]:
    """Give the instance id of each geom number (0 scenery), with one more entry at the end for "nothing hit"."""
    table = np.zeros(world.model.ngeom + 1, dtype=np.uint8)
    for subject in world.subjects:
        for body in subject.bodies:
            table[geom_ids(world.model, body)] = subject.subject_id
    return table


def surface_points(world: World, poses: WorldPoses, subject: SubjectModel) -> NDArray[np.float64]:
    """Give points [n, p, 3] on the surface of a subject's body in every frame, for boxes and visibility."""
    change = world.spec.num_frames if subject.sheds_at_frame is None else subject.sheds_at_frame
    parts = [_body_points(world.model, poses, subject.before, slice(0, change))]
    if subject.after is not None:
        parts.append(_body_points(world.model, poses, subject.after, slice(change, None)))
        width = max(part.shape[1] for part in parts)
        parts = [
            np.concatenate([part, np.repeat(part[:, :1], width - part.shape[1], axis=1)], axis=1)
            for part in parts
        ]
    return np.concatenate(parts)


def _body_points(
    model: mujoco.MjModel, poses: WorldPoses, body: SubjectBody, frames: slice
) -> NDArray[np.float64]:
    clouds = []
    for geom in geom_ids(model, body):
        local = _geom_points(model, int(geom))
        rotation = poses.geom_rotation[frames, geom].astype(np.float64)
        clouds.append(np.einsum("nij,pj->npi", rotation, local) + poses.geom_position_m[frames, geom, None])
    return np.concatenate(clouds, axis=1)


def _directions() -> NDArray[np.float64]:
    steps = np.array([-1.0, 0.0, 1.0])
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[np.abs(grid).sum(axis=1) > 0]
    return grid / np.linalg.norm(grid, axis=1, keepdims=True)


def _geom_points(model: mujoco.MjModel, geom: int) -> NDArray[np.float64]:
    """Give points on one geom's surface, in its own frame: enough for its outline to be a pixel or two true."""
    shape, size = int(model.geom_type[geom]), model.geom_size[geom]
    around = _directions()
    if shape == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        vertices = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        return np.unique(vertices[_extremes(vertices)], axis=0).astype(np.float64)
    if shape in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_ELLIPSOID):
        return around * (size if shape == mujoco.mjtGeom.mjGEOM_ELLIPSOID else size[0])
    if shape == mujoco.mjtGeom.mjGEOM_CAPSULE:
        ends = np.array([[0, 0, size[1]], [0, 0, -size[1]]])
        return (around * size[0] + ends[:, None]).reshape(-1, 3)
    if shape == mujoco.mjtGeom.mjGEOM_CYLINDER:
        angles = np.arange(12) * (np.pi / 6)
        rim = np.stack([np.cos(angles) * size[0], np.sin(angles) * size[0], np.full(12, size[1])], axis=-1)
        return np.concatenate([rim, rim * np.array([1, 1, -1])])
    if shape == mujoco.mjtGeom.mjGEOM_BOX:
        return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size
    raise WorldError(
        f"subjects are made of meshes, spheres, capsules, ellipsoids, cylinders and boxes, not shape {shape}"
    )


def _extremes(vertices: NDArray[np.float32]) -> NDArray[np.intp]:
    """Choose at most 128 vertices: those that lie farthest out in evenly spread directions."""
    if len(vertices) <= 128:
        return np.arange(len(vertices))
    turn = np.arange(128) * (np.pi * (3 - np.sqrt(5)))
    height = 1 - (2 * np.arange(128) + 1) / 128
    ring = np.sqrt(1 - height**2)
    spread = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=-1)
    return (vertices @ spread.T).argmax(axis=0)
