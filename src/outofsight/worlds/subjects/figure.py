"""A figure is a subject's body: bones with hinges, a mesh per bone, a palette. This file puts it into a MuJoCo spec."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from outofsight.errors import WorldError
from outofsight.geometry.poses import rotation_about
from outofsight.worlds.subjects.shapes import INKS, Floats, Shape, ink_index

EMISSION = 0.10  # a little light of their own keeps subjects readable at dusk and against the sun
TEXELS_PER_INK = 4  # sampled in the middle, so that bilinear filtering never mixes two inks
FORWARD_SWING = (0.0, -1.0, 0.0)  # a positive angle swings a hanging limb forward
LEFT_SWING = (1.0, 0.0, 0.0)  # a positive angle swings a hanging limb to the left
ROLLING = (0.0, 1.0, 0.0)  # a positive angle rolls a wheel forward
LEFT_TURN = (0.0, 0.0, 1.0)
RIGHT_LEAN = (1.0, 0.0, 0.0)  # a positive angle tips the top to the right (−y)

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Hinge:
    """A rotation about an axis through the bone's origin, in radians from the rest pose."""

    name: str
    axis: tuple[float, float, float] = FORWARD_SWING


def hip_hinges(leg: str) -> tuple[Hinge, ...]:
    """A hip: the leg turns about the upright, splays to the side, swings forward, in this order."""
    turn, splay = Hinge(name=f"turn_{leg}", axis=LEFT_TURN), Hinge(name=f"splay_{leg}", axis=LEFT_SWING)
    return (turn, splay, Hinge(name=f"hip_{leg}"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Bone:
    """A rigid part. ``origin_m`` is in the parent's frame, axes parallel to it at rest; ``parent`` "" is the root."""

    name: str
    origin_m: tuple[float, float, float]
    parent: str = ""
    hinges: tuple[Hinge, ...] = ()
    shape: Shape | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """One look of a subject: ``bones`` parents first, ``palette`` sRGB in [0, 1] for every ink used."""

    bones: tuple[Bone, ...]
    palette: Mapping[str, Colour]
    noun: str
    shininess: float = 0.2
    specular: float = 0.08
    colour_names: Mapping[str, str] = field(default_factory=dict)  # by ink, as a caption says them
    joints: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", tuple(hinge.name for bone in self.bones for hinge in bone.hinges))
        used = {
            INKS[ink] for bone in self.bones if bone.shape is not None for ink in np.unique(bone.shape.inks)
        }
        if missing := sorted(used - set(self.palette)):
            raise WorldError(
                f"{self.noun}: the palette has no colour for {', '.join(missing)}; name one for each"
            )

    def posed_vertices(self, angles_rad: Mapping[str, float], offset_m: float) -> Floats:
        """All vertices [v, 3] in the root frame for one frame's joint angles, the root raised by ``offset_m``."""
        places: dict[str, tuple[Floats, Floats]] = {"": (np.eye(3), np.array([0.0, 0.0, offset_m]))}
        parts = []
        for bone in self.bones:
            turn, origin = places[bone.parent]
            origin = origin + turn @ np.asarray(bone.origin_m, dtype=np.float64)
            for hinge in bone.hinges:
                turn = turn @ rotation_about(hinge.axis, angles_rad[hinge.name])
            places[bone.name] = (turn, origin)
            if bone.shape is not None:
                parts.append(bone.shape.vertices @ turn.T + origin)
        return np.concatenate(parts)


def add_figure(spec: mujoco.MjSpec, figure: Figure, *, prefix: str, scale: float) -> tuple[str, ...]:
    """Add the bodies, joints, geoms, meshes and the palette of a figure; give the names of its geoms.

    The root body is ``f"{prefix}root"`` with a free joint of the same name. Meshes are named by their content and
    shared between subjects. Nothing collides. Raises: WorldError if the prefix is in use.
    """
    root_name = f"{prefix}root"
    if spec.body(root_name) is not None:
        raise WorldError(f"the prefix {prefix!r} is in use already; give each subject its own")
    material = _add_palette(spec, figure, prefix)
    root = spec.worldbody.add_body(name=root_name)
    root.add_freejoint(name=root_name)
    _weigh(root)
    bodies = {"": root}
    geoms: list[str] = []
    for bone in figure.bones:
        body = bodies[bone.parent].add_body(name=prefix + bone.name, pos=scale * np.asarray(bone.origin_m))
        bodies[bone.name] = body
        _weigh(body)
        for hinge in bone.hinges:
            body.add_joint(name=prefix + hinge.name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=hinge.axis)
        if bone.shape is None:
            continue
        mesh = _mesh_name(spec, bone.shape, scale)
        geoms.append(prefix + bone.name)
        body.add_geom(
            name=geoms[-1],
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=mesh,
            material=material,
            contype=0,
            conaffinity=0,
            density=0.0,
        )
    return tuple(geoms)


def _weigh(body: mujoco.MjsBody) -> None:
    """Give a nominal mass: bodies are posed, never simulated, but MuJoCo asks moving bodies to weigh something."""
    body.explicitinertial = True
    body.mass = 1.0
    body.inertia = [0.01, 0.01, 0.01]


def _add_palette(spec: mujoco.MjSpec, figure: Figure, prefix: str) -> str:
    name = f"{prefix}palette"
    pixels = np.zeros((TEXELS_PER_INK, len(INKS), TEXELS_PER_INK, 3), dtype=np.uint8)
    for ink, colour in figure.palette.items():
        pixels[:, ink_index(ink)] = np.round(255 * np.clip(colour, 0.0, 1.0))
    texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
    texture.width, texture.height = TEXELS_PER_INK * len(INKS), TEXELS_PER_INK
    texture.data = pixels.tobytes()
    material = spec.add_material(
        name=name, specular=figure.specular, shininess=figure.shininess, emission=EMISSION
    )
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    return name


def _mesh_name(spec: mujoco.MjSpec, shape: Shape, scale: float) -> str:
    """Add the mesh if the spec does not hold it yet; its name is a digest of its content."""
    digest = hashlib.sha256()
    for part in (shape.vertices.round(6), shape.faces, shape.inks, np.float64(scale)):
        digest.update(np.ascontiguousarray(part).tobytes())
    name = f"subject/{digest.hexdigest()[:16]}"
    if spec.mesh(name) is not None:
        return name
    texels = np.stack([(np.arange(len(INKS)) + 0.5) / len(INKS), np.full(len(INKS), 0.5)], axis=1)
    spec.add_mesh(
        name=name,
        uservert=(scale * shape.vertices).ravel(),
        userface=shape.faces.ravel(),
        usertexcoord=texels.ravel(),
        userfacetexcoord=np.repeat(shape.inks, 3),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    return name
