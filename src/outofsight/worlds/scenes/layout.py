"""A scene as plain data: painted and textured parts, lights, sky, and where one may walk."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.scenes.mesh import Mesh

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""

NUM_LIGHTS = 6
"""Every layout brings as many: renderers that compile for a number of lights compile once."""


def toned(colour: Colour, share: float) -> Colour:
    """A colour made brighter or darker, at most white."""
    return (min(colour[0] * share, 1.0), min(colour[1] * share, 1.0), min(colour[2] * share, 1.0))


@dataclass(frozen=True, kw_only=True)
class Material:
    """How a surface answers light. ``texture`` names an image of the layout; ``None`` means painted by face colours.

    ``tile_m`` is the length that one copy of the image covers; 1 where surface coordinates run from 0 to 1.
    """

    texture: str | None = None
    tint: Colour = (1.0, 1.0, 1.0)
    tile_m: float = 1.0
    specular: float = 0.0
    shininess: float = 0.3
    emission: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One thing of the scenery, in world coordinates. ``colours`` uint8 [faces, 3] for painted materials."""

    name: str
    mesh: Mesh
    material: Material
    colours: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        painted = self.material.texture is None
        if painted != (self.colours is not None) or (
            self.colours is not None and len(self.colours) != len(self.mesh)
        ):
            raise WorldError(
                f"part {self.name!r}: a painted material needs one colour a face ({len(self.mesh)} faces), "
                f"a textured one none; got {None if self.colours is None else len(self.colours)}"
            )


@dataclass(frozen=True, kw_only=True)
class Light:
    """One light. Directional: ``direction`` is the way light travels. Point: at ``position_m``.

    Colours are added to whatever they meet, so that 1 is full brightness on a white face square to the light;
    ``attenuation`` divides by a + b·d + c·d² at distance d metres (point lights only).
    """

    kind: Literal["directional", "point"]
    diffuse: Colour
    ambient: Colour = (0.0, 0.0, 0.0)
    specular: Colour = (0.0, 0.0, 0.0)
    direction: tuple[float, float, float] = (0.0, 0.0, -1.0)
    position_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    attenuation: tuple[float, float, float] = (1.0, 0.0, 0.0)
    casts_shadow: bool = False
    active: bool = True


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Ground that is taken, in plan view. A disc's radius is ``half_size_m[0]``; a box is turned by ``yaw_rad``."""

    kind: Literal["box", "disc"]
    name: str
    centre_m: tuple[float, float]
    half_size_m: tuple[float, float]
    yaw_rad: float = 0.0
    height_m: float = 1.0

    def distance_m(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Signed distance of plan points [..., 2] to the outline, negative inside."""
        x, y = points_m[..., 0] - self.centre_m[0], points_m[..., 1] - self.centre_m[1]
        if self.kind == "disc":
            return np.hypot(x, y) - self.half_size_m[0]
        c, s = cos(self.yaw_rad), sin(self.yaw_rad)
        ahead = np.abs(c * x + s * y) - self.half_size_m[0]
        aside = np.abs(c * y - s * x) - self.half_size_m[1]
        outside = np.hypot(np.maximum(ahead, 0.0), np.maximum(aside, 0.0))
        return outside + np.minimum(np.maximum(ahead, aside), 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneLayout:
    """Everything a renderer needs of a scene, and everything a planner needs of its ground (z = 0).

    ``textures``: uint8 [height, width, 3] by name, first row at the top. ``sky``: uint8 [6·n, n, 3], the cube map's
    faces +x, −x, up, down, −y, +y as the renderers expect them. ``free_area`` (x0, y0, x1, y1): where subjects and
    cameras may be, obstacles excepted; ``stage``: the part of it in the middle that is surely free of obstacles.
    """

    scene: str
    layout_seed: int
    light: str
    subject_scale: float
    parts: tuple[Part, ...]
    textures: Mapping[str, NDArray[np.uint8]]
    lights: tuple[Light, ...]
    sky: NDArray[np.uint8]
    free_area: tuple[float, float, float, float]
    stage: tuple[float, float, float, float]
    obstacles: tuple[Obstacle, ...]

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.free_area
        if not (x0 < x1 and y0 < y1):
            raise WorldError(
                f"scene {self.scene!r}: expected a free area x0 < x1, y0 < y1, got {self.free_area}"
            )
        if len(self.lights) != NUM_LIGHTS:
            raise WorldError(f"scene {self.scene!r}: expected {NUM_LIGHTS} lights, got {len(self.lights)}")
        missing = {p.material.texture for p in self.parts} - {None, *self.textures}
        if missing:
            raise WorldError(
                f"scene {self.scene!r}: parts use textures that the layout lacks: {sorted(map(str, missing))}"
            )

    def clearance_m(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of plan points [..., 2] to the nearest obstacle or border of the free area; negative if not free."""
        points = np.asarray(points_m, dtype=np.float64)
        x0, y0, x1, y1 = self.free_area
        sides = [points[..., 0] - x0, x1 - points[..., 0], points[..., 1] - y0, y1 - points[..., 1]]
        return np.minimum.reduce(sides + [obstacle.distance_m(points) for obstacle in self.obstacles])
