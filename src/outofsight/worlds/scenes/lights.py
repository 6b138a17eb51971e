"""Light moods: where the sun stands, what the sky gives, which lamps burn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from outofsight.worlds.scenes.layout import NUM_LIGHTS, Colour, Light, toned

Point = tuple[float, float, float]
UNLIT = Light(kind="point", diffuse=(0.0, 0.0, 0.0), attenuation=(1.0, 0.1, 0.05), active=False)


@dataclass(frozen=True, kw_only=True)
class Mood:
    """One mood: the sun (or moon), the sky's even light, a soft second light, and lamps if they burn.

    ``sky`` names the ``SkyLook`` seen outside. ``key_is_lamp``: indoors, the shadow-casting light is a ceiling lamp.
    """

    sky: str
    elevation_deg: float
    sun: Colour
    ambient: Colour
    fill: Colour
    lamps: Colour | None = None
    key_is_lamp: bool = False


OUTDOOR_MOODS: Mapping[str, Mood] = MappingProxyType(
    {
        "noon": Mood(
            sky="noon",
            elevation_deg=56,
            sun=(0.74, 0.71, 0.64),
            ambient=(0.40, 0.43, 0.48),
            fill=(0.12, 0.13, 0.15),
        ),
        "morning": Mood(
            sky="morning",
            elevation_deg=30,
            sun=(0.86, 0.76, 0.6),
            ambient=(0.36, 0.38, 0.43),
            fill=(0.14, 0.15, 0.17),
        ),
        "golden hour": Mood(
            sky="golden hour",
            elevation_deg=17,
            sun=(1.05, 0.7, 0.36),
            ambient=(0.40, 0.37, 0.40),
            fill=(0.14, 0.13, 0.18),
        ),
        "overcast": Mood(
            sky="overcast",
            elevation_deg=70,
            sun=(0.22, 0.22, 0.23),
            ambient=(0.52, 0.54, 0.57),
            fill=(0.16, 0.16, 0.17),
        ),
        "dusk": Mood(
            sky="dusk",
            elevation_deg=12,
            sun=(0.5, 0.32, 0.3),
            ambient=(0.33, 0.32, 0.46),
            fill=(0.12, 0.10, 0.2),
            lamps=(0.6, 0.45, 0.25),
        ),
        "night lamps": Mood(
            sky="night lamps",
            elevation_deg=48,
            sun=(0.13, 0.16, 0.26),
            ambient=(0.15, 0.17, 0.28),
            fill=(0.04, 0.05, 0.1),
            lamps=(1.7, 1.28, 0.72),
        ),
    }
)

INDOOR_MOODS: Mapping[str, Mood] = MappingProxyType(
    {
        "daylight": Mood(
            sky="noon",
            elevation_deg=38,
            sun=(0.60, 0.57, 0.50),
            ambient=(0.53, 0.53, 0.53),
            fill=(0.28, 0.29, 0.31),
        ),
        "low sun": Mood(
            sky="golden hour",
            elevation_deg=17,
            sun=(0.85, 0.56, 0.3),
            ambient=(0.47, 0.41, 0.38),
            fill=(0.24, 0.19, 0.18),
        ),
        "overcast": Mood(
            sky="overcast",
            elevation_deg=60,
            sun=(0.2, 0.2, 0.2),
            ambient=(0.44, 0.45, 0.48),
            fill=(0.28, 0.29, 0.31),
            key_is_lamp=True,
        ),
        "white tubes": Mood(
            sky="overcast",
            elevation_deg=60,
            sun=(0.42, 0.43, 0.42),
            ambient=(0.44, 0.46, 0.45),
            fill=(0.14, 0.15, 0.15),
            lamps=(0.25, 0.26, 0.25),
            key_is_lamp=True,
        ),
        "evening lamps": Mood(
            sky="night lamps",
            elevation_deg=60,
            sun=(0.55, 0.42, 0.26),
            ambient=(0.25, 0.21, 0.21),
            fill=(0.06, 0.05, 0.07),
            lamps=(0.6, 0.44, 0.24),
            key_is_lamp=True,
        ),
    }
)


def towards(azimuth_rad: float, elevation_rad: float) -> NDArray[np.float64]:
    """Unit vector from the world to a point of the sky."""
    flat = cos(elevation_rad)
    return np.array([flat * cos(azimuth_rad), flat * sin(azimuth_rad), sin(elevation_rad)])


def _falling(direction: NDArray[np.float64]) -> Point:
    return (-float(direction[0]), -float(direction[1]), -float(direction[2]))


def mood_lights(
    mood: Mood, sun_azimuth_rad: float, lamps_m: Sequence[Point], scale: float, ground: Colour
) -> tuple[Light, ...]:
    """Turn a mood into the layout's lights: key (with shadows), fill, bounce, and the lamps there is room for.

    ``lamps_m``: where lamps hang, the most important first. ``scale`` shrinks the reach of lamps with the subjects.
    ``ground`` colours the light that comes back from below.
    """
    sun = towards(sun_azimuth_rad, radians(mood.elevation_deg))
    reach = (1.0, 0.04 / scale, 0.025 / scale**2)
    spare = list(lamps_m)
    if mood.key_is_lamp:
        key = Light(
            kind="point",
            position_m=spare.pop(0),
            diffuse=mood.sun,
            specular=toned(mood.sun, 0.5),
            attenuation=(1.0, 0.0, 0.0),
            casts_shadow=True,
        )
    else:
        key = Light(
            kind="directional",
            direction=_falling(sun),
            diffuse=mood.sun,
            specular=toned(mood.sun, 0.5),
            casts_shadow=True,
        )
    fill = Light(  # the even light comes with it: OpenGL takes a shadowed light's ambient share away in its shadows
        kind="directional",
        direction=_falling(towards(sun_azimuth_rad + 2.5, 0.5)),
        diffuse=mood.fill,
        ambient=mood.ambient,
    )
    bounce = Light(kind="directional", direction=(0.0, 0.0, 1.0), diffuse=_bounced(mood, ground))
    lamps = []
    if mood.lamps is not None:
        burning = spare[: NUM_LIGHTS - 3]
        lamps = [
            Light(kind="point", position_m=place, diffuse=mood.lamps, attenuation=reach) for place in burning
        ]
    return (key, fill, bounce, *lamps, *[UNLIT] * (NUM_LIGHTS - 3 - len(lamps)))


def _bounced(mood: Mood, ground: Colour) -> Colour:
    """Light thrown back by the ground: half of what falls on it, in its colour; what faces down lives on it."""
    upright = sin(radians(mood.elevation_deg))
    red, green, blue = (
        0.5 * tone * (sun * upright + ambient)
        for tone, sun, ambient in zip(ground, mood.sun, mood.ambient, strict=True)
    )
    return (red, green, blue)
