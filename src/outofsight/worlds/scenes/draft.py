"""The drawing board: props and places add parts, obstacles and lamps to a draft, which becomes a layout."""

from collections.abc import Sequence
from math import cos, hypot, sin
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour, Material, Obstacle, Part, SceneLayout
from outofsight.worlds.scenes.lights import INDOOR_MOODS, OUTDOOR_MOODS, Mood, Point, mood_lights
from outofsight.worlds.scenes.mesh import Mesh
from outofsight.worlds.scenes.noise import Field, to_bytes
from outofsight.worlds.scenes.sky import SKY_LOOKS, paint_sky
from outofsight.worlds.scenes.textures import TILE_M, surface_image

Finish = Literal["matte", "satin", "gloss", "glow", "lamp"]
Area = tuple[float, float, float, float]
_COLOUR_STEP = 4  # painted colours are rounded to this, so that faces share palette cells
_LAMP_MOODS = ("night lamps", "dusk", "evening lamps")
_TRIES = 80


class Draft:
    """A scene being drawn. ``rng`` is the layout's; the light mood never draws from it, so a place keeps its shape.

    ``stage`` is the area in the middle that ``find_spot`` leaves open.
    """

    def __init__(self, kind: SceneKind, layout_seed: int, light: str, free_area: Area, stage: Area) -> None:
        self.kind = kind
        self.layout_seed = layout_seed
        self.light = light
        self.free_area = free_area
        self.stage = stage
        self.rng = np.random.default_rng([layout_seed, crc32(kind.name.encode())])
        self.sky_rng = np.random.default_rng([layout_seed, crc32(kind.name.encode()), 1])
        self.horizon = "hills"
        self.below: Colour = (0.4, 0.42, 0.36)
        self.sun_azimuth_rad = float(self.sky_rng.uniform(0, 2 * np.pi))
        self.parts: list[Part] = []
        self.obstacles: list[Obstacle] = []
        self.lamps_m: list[Point] = []
        self.images: dict[str, NDArray[np.uint8]] = {}
        self._shades: dict[Colour, Colour] = {}

    @property
    def mood(self) -> Mood:
        return (INDOOR_MOODS if self.kind.indoors else OUTDOOR_MOODS)[self.light]

    @property
    def lamps_on(self) -> bool:
        return self.light in _LAMP_MOODS or (self.light == "white tubes")

    @property
    def windows_lit(self) -> bool:
        """Whether houses outside show lamplight behind their windows."""
        return self.mood.sky in ("dusk", "night lamps")

    def _material(
        self, finish: Finish, texture: str | None, tint: Colour = (1, 1, 1), tile_m: float = 1.0
    ) -> Material:
        specular, shininess, emission = {
            "matte": (0.0, 0.3, 0.0),
            "satin": (0.15, 0.25, 0.0),
            "gloss": (0.45, 0.5, 0.0),
            "glow": (0.0, 0.3, 0.6),
            "lamp": (0.0, 0.3, 1.0 if self.lamps_on else 0.25),
        }[finish]
        return Material(
            texture=texture,
            tint=tint,
            tile_m=tile_m,
            specular=specular,
            shininess=shininess,
            emission=emission,
        )

    def paint(
        self, name: str, mesh: Mesh, colour: Colour, vary: float = 0.0, finish: Finish = "matte"
    ) -> None:
        """Add a part in plain colour; each face's brightness differs by up to ``vary``."""
        tone = 1 + self.rng.uniform(-vary, vary, len(mesh)) if vary else np.ones(len(mesh))
        self.paint_faces(name, mesh, tone[:, None] * np.asarray(colour), finish)

    def paint_faces(
        self, name: str, mesh: Mesh, colours: NDArray[np.float64], finish: Finish = "matte"
    ) -> None:
        """Add a part with one colour a face, [f, 3] in [0, 1]."""
        levels = np.rint(np.clip(colours, 0, 1) * 255 / _COLOUR_STEP) * _COLOUR_STEP
        shown = np.minimum(levels, 255).astype(np.uint8)
        self.parts.append(Part(name=name, mesh=mesh, material=self._material(finish, None), colours=shown))

    def textured(
        self, name: str, mesh: Mesh, surface: str, tint: Colour = (1, 1, 1), finish: Finish = "matte"
    ) -> None:
        """Add a part covered with a tiled surface, tinted."""
        self.images[surface] = surface_image(surface)
        self.parts.append(
            Part(name=name, mesh=mesh, material=self._material(finish, surface, tint, TILE_M[surface]))
        )

    def decal(
        self, name: str, mesh: Mesh, image: str, finish: Finish = "matte", tint: Colour = (1, 1, 1)
    ) -> None:
        """Add a part that shows one image (surface coordinates 0 to 1) already given to ``show``."""
        if image not in self.images:
            raise WorldError(f"part {name!r}: image {image!r} was not given to show() before")
        self.parts.append(Part(name=name, mesh=mesh, material=self._material(finish, image, tint)))

    def show(self, image: str, pixels: Field) -> str:
        """Keep an image [h, w, 3] in [0, 1] under a name of this layout; returns the name."""
        self.images[image] = to_bytes(pixels)
        return image

    def block_box(
        self,
        name: str,
        x_m: float,
        y_m: float,
        size_m: Sequence[float],
        yaw_rad: float = 0.0,
        height_m: float = 1.0,
    ) -> None:
        """Take the ground under a box of full size (length, depth)."""
        half = (float(size_m[0]) / 2, float(size_m[1]) / 2)
        centre = (float(x_m), float(y_m))
        self.obstacles.append(
            Obstacle(
                kind="box",
                name=name,
                centre_m=centre,
                half_size_m=half,
                yaw_rad=float(yaw_rad),
                height_m=height_m,
            )
        )

    def block_disc(self, name: str, x_m: float, y_m: float, radius_m: float, height_m: float = 1.0) -> None:
        radius = float(radius_m)
        centre = (float(x_m), float(y_m))
        self.obstacles.append(
            Obstacle(kind="disc", name=name, centre_m=centre, half_size_m=(radius, radius), height_m=height_m)
        )

    def is_open(self, x_m: float, y_m: float, radius_m: float, *, keep_stage: bool = True) -> bool:
        """Whether a disc touches no obstacle and, if asked, stays off the stage."""
        point = np.array([x_m, y_m])
        if any(obstacle.distance_m(point) < radius_m for obstacle in self.obstacles):
            return False
        x0, y0, x1, y1 = self.stage
        beyond = np.hypot(max(x0 - x_m, 0, x_m - x1), max(y0 - y_m, 0, y_m - y1))
        return not keep_stage or bool(beyond > radius_m)

    def find_spot(self, area: Area, radius_m: float, rng: np.random.Generator | None = None) -> Point | None:
        """A random place in ``area`` for a thing of that radius, off stage and obstacles; None if there is none."""
        draw = self.rng if rng is None else rng
        for _ in range(_TRIES):
            x, y = draw.uniform(area[0], area[2]), draw.uniform(area[1], area[3])
            if self.is_open(x, y, radius_m):
                return (float(x), float(y), 0.0)
        return None

    def pick(self, *options: Colour) -> Colour:
        """One of several colours, each slightly off in a way of this layout: equal things may share a mesh."""
        option = options[int(self.rng.integers(len(options)))]
        if option not in self._shades:
            red, green, blue = np.minimum(np.asarray(option) * self.rng.uniform(0.92, 1.08, 3), 1)
            self._shades[option] = (float(red), float(green), float(blue))
        return self._shades[option]

    def choose(self, *options: str) -> str:
        return options[int(self.rng.integers(len(options)))]

    def finish(self) -> SceneLayout:
        """Close the draft: light it, paint its sky, and hand out the layout."""
        mood = self.mood
        azimuth = self.sun_azimuth_rad
        sun = np.array([cos(azimuth), sin(azimuth), 0.0]) * np.cos(np.radians(mood.elevation_deg))
        sun[2] = np.sin(np.radians(mood.elevation_deg))
        used = {part.material.texture for part in self.parts}
        return SceneLayout(
            scene=self.kind.name,
            layout_seed=self.layout_seed,
            light=self.light,
            subject_scale=self.kind.subject_scale,
            parts=tuple(self.parts),
            textures={name: image for name, image in self.images.items() if name in used},
            lights=mood_lights(mood, azimuth, self._lamps_in_order(), self.kind.subject_scale, self.below),
            sky=paint_sky(self.sky_rng, mood.sky, self.horizon, sun, self.below),
            free_area=self.free_area,
            stage=self.stage,
            obstacles=tuple(self.obstacles),
        )

    def _lamps_in_order(self) -> list[Point]:
        """Lamps that light the stage best: the nearest, then by turns the one farthest from those chosen.

        Indoors the first lamp, which may be the key light, keeps its place.
        """
        x, y = (self.stage[0] + self.stage[2]) / 2, (self.stage[1] + self.stage[3]) / 2
        keep = 1 if self.kind.indoors else 0
        spare = sorted(self.lamps_m[keep:], key=lambda lamp: hypot(lamp[0] - x, lamp[1] - y))[:6]
        chosen = self.lamps_m[:keep] + spare[:1]
        rest = spare[1:]
        while rest:
            rest.sort(key=lambda lamp: min(hypot(lamp[0] - a, lamp[1] - b) for a, b, _ in chosen))
            chosen.append(rest.pop())
        return chosen

    @property
    def haze_colour(self) -> Colour:
        """The horizon's colour over the light on flat ground: far ground painted with it meets the sky unseen."""
        horizon = np.asarray(SKY_LOOKS[self.mood.sky].horizon)
        light = np.asarray(self.mood.ambient) + np.asarray(self.mood.sun) * np.sin(
            np.radians(self.mood.elevation_deg)
        )
        light = light + np.asarray(self.mood.fill) * np.sin(0.5)
        red, green, blue = np.clip(horizon / light, 0, 1)
        return (float(red), float(green), float(blue))
