"""Skies as cube maps: gradient, sun, clouds, stars, and what stands on the far horizon."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.noise import Field, blend, fractal_noise, to_bytes

FACE_PX = 192
_CLOUD_PX = 256
_AZIMUTHS = 1440
_FAR_GROUND_DIP = 0.012  # what stands on the horizon reaches down to where modelled ground ends


@dataclass(frozen=True, kw_only=True)
class SkyLook:
    """Colours of a sky. ``cloud_cover`` in [0, 1]; ``glow`` is the sun's halo; ``stars`` their number's share."""

    zenith: Colour
    horizon: Colour
    glow: Colour
    cloud: Colour
    cloud_cover: float = 0.4
    stars: float = 0.0
    haze: float = 0.55


SKY_LOOKS: Mapping[str, SkyLook] = MappingProxyType(
    {
        "noon": SkyLook(
            zenith=(0.22, 0.45, 0.83),
            horizon=(0.72, 0.84, 0.95),
            glow=(1.0, 0.98, 0.9),
            cloud=(1, 1, 1),
            cloud_cover=0.42,
        ),
        "morning": SkyLook(
            zenith=(0.36, 0.56, 0.86),
            horizon=(0.93, 0.88, 0.82),
            glow=(1.0, 0.9, 0.7),
            cloud=(1, 0.97, 0.93),
            cloud_cover=0.3,
        ),
        "golden hour": SkyLook(
            zenith=(0.36, 0.47, 0.70),
            horizon=(0.98, 0.76, 0.50),
            glow=(1.0, 0.82, 0.45),
            cloud=(1.0, 0.78, 0.6),
        ),
        "overcast": SkyLook(
            zenith=(0.62, 0.66, 0.70),
            horizon=(0.80, 0.82, 0.84),
            glow=(0.85, 0.86, 0.87),
            cloud=(0.9, 0.91, 0.93),
            cloud_cover=0.85,
            haze=0.7,
        ),
        "dusk": SkyLook(
            zenith=(0.17, 0.19, 0.42),
            horizon=(0.88, 0.52, 0.45),
            glow=(1.0, 0.62, 0.4),
            cloud=(0.62, 0.38, 0.5),
            stars=0.15,
            haze=0.6,
        ),
        "night lamps": SkyLook(
            zenith=(0.025, 0.035, 0.10),
            horizon=(0.12, 0.13, 0.24),
            glow=(0.3, 0.3, 0.4),
            cloud=(0.13, 0.14, 0.22),
            stars=1.0,
            haze=0.75,
        ),
    }
)


@lru_cache(maxsize=2)
def face_directions(face_px: int) -> NDArray[np.float32]:
    """World direction of every pixel of the cube map [6·n, n, 3], unit length.

    Source: MuJoCo's cube map order and its quarter turn about x (the map's up is the world's z).
    """
    place = (np.arange(face_px, dtype=np.float32) + 0.5) / face_px * 2 - 1
    s, t = np.meshgrid(place, place)
    one = np.ones_like(s)
    map_axes = [(one, -t, -s), (-one, -t, s), (s, one, t), (s, -one, -t), (s, -t, one), (-s, -t, -one)]
    faces = [np.stack([x, -z, y], axis=-1) for x, y, z in map_axes]
    directions = np.concatenate(faces)
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


@lru_cache(maxsize=2)
def _bearings(face_px: int) -> tuple[NDArray[np.intp], Field]:
    """Azimuth step [6·n, n] and elevation in radians of every pixel of the cube map."""
    directions = face_directions(face_px)
    turn = np.arctan2(directions[..., 1], directions[..., 0]) / (2 * np.pi) % 1
    return (turn * _AZIMUTHS).astype(np.intp) % _AZIMUTHS, np.arcsin(directions[..., 2])


def _clouds(rng: np.random.Generator, directions: NDArray[np.float32], cover: float) -> Field:
    """Cloud density [6·n, n] in [0, 1]: a flat tiled layer seen from below, thinning towards the horizon."""
    layer = fractal_noise(rng, _CLOUD_PX, _CLOUD_PX, 5, 5, 0.55)
    height = np.maximum(directions[..., 2], 0.03)
    plan = directions[..., :2] / height[..., None] * (0.16 * _CLOUD_PX)
    density = layer[plan[..., 1].astype(int) % _CLOUD_PX, plan[..., 0].astype(int) % _CLOUD_PX]
    edge = 1.1 - 1.5 * cover
    return np.clip((density - edge * 0.6 + 0.15) * 2.2, 0, 1) * np.clip(directions[..., 2] * 6, 0, 1)


def _steps(rng: np.random.Generator, count: int, low: float, high: float) -> Field:
    """Houses on the horizon: elevation [azimuths] of flat roofs of random width."""
    edges = np.sort(rng.integers(0, _AZIMUTHS, count))
    heights = rng.uniform(low, high, count + 1) ** 1.5 / high**0.5
    return heights[np.searchsorted(edges, np.arange(_AZIMUTHS))].astype(np.float32)


def _ridge(rng: np.random.Generator, cells: int, low: float, high: float, octaves: int = 4) -> Field:
    line = fractal_noise(rng, 2, _AZIMUTHS, cells, octaves, 0.5)[0]
    return low + (high - low) * np.clip(0.5 + 0.6 * line, 0, 1)


def _horizon_layers(rng: np.random.Generator, horizon: str) -> list[tuple[Field, Colour, float]]:
    """What stands on the horizon, farthest first: (elevation [azimuths] in radians, colour, share of haze)."""
    green, blue = (0.24, 0.36, 0.2), (0.36, 0.44, 0.52)
    layers = {
        "city": [
            (_steps(rng, 90, 0.05, 0.30), (0.5, 0.52, 0.56), 0.75),
            (_steps(rng, 70, 0.04, 0.17), (0.48, 0.43, 0.4), 0.45),
        ],
        "hills": [(_ridge(rng, 6, 0.02, 0.12), blue, 0.7), (_ridge(rng, 40, 0.02, 0.06, 3), green, 0.35)],
        "trees": [(_ridge(rng, 9, 0.03, 0.10), green, 0.6), (_ridge(rng, 90, 0.03, 0.10, 3), green, 0.25)],
        "mountains": [
            (_ridge(rng, 7, 0.08, 0.34, 6), (0.74, 0.80, 0.90), 0.2),
            (_ridge(rng, 12, 0.03, 0.14, 5), (0.34, 0.43, 0.52), 0.25),
        ],
        "mesas": [
            (_steps(rng, 26, 0.01, 0.15), (0.62, 0.36, 0.25), 0.5),
            (_ridge(rng, 8, 0.0, 0.05), (0.8, 0.62, 0.42), 0.3),
        ],
        "woods": [
            (_ridge(rng, 60, 0.22, 0.42, 4), (0.22, 0.33, 0.2), 0.35),
            (_ridge(rng, 150, 0.12, 0.30, 3), (0.13, 0.22, 0.12), 0.12),
        ],
        "sea": [(_ridge(rng, 5, -0.02, 0.05), blue, 0.75)],
    }
    return layers[horizon]


def paint_sky(
    rng: np.random.Generator, light: str, horizon: str, sun_direction: NDArray[np.float64], below: Colour
) -> NDArray[np.uint8]:
    """Paint a cube map uint8 [6·n, n, 3].

    ``sun_direction`` points from the world to the sun; ``horizon`` names what stands there (city, hills, trees,
    mountains, mesas, sea); ``below`` is the colour under the horizon.
    """
    look = SKY_LOOKS[light]
    directions = face_directions(FACE_PX)
    up = directions[..., 2]
    rise = np.clip(up, 0, 1) ** 0.55
    image = blend(np.broadcast_to(np.asarray(look.horizon, np.float32), directions.shape), look.zenith, rise)
    image = blend(image, look.cloud, 0.85 * _clouds(rng, directions, look.cloud_cover))
    towards_sun = np.clip(directions @ sun_direction.astype(np.float32), 0, 1)
    image = blend(image, look.glow, 0.55 * towards_sun**12 + np.clip((towards_sun - 0.9986) * 1200, 0, 1))
    if look.stars:
        twinkle = (rng.random(up.shape, dtype=np.float32) > 1 - 0.004 * look.stars) & (up > 0.08)
        image = blend(image, (0.9, 0.92, 1.0), twinkle * np.float32(0.7))
    azimuth, elevation = _bearings(FACE_PX)
    daylight = float(np.mean(look.horizon)) ** 0.7
    for skyline, colour, haze in _horizon_layers(rng, horizon):
        solid = np.clip((skyline[azimuth] - elevation) * (FACE_PX / 2) + 0.5, 0, 1)
        seen = np.asarray(colour) * daylight * (1 - haze) + np.asarray(look.horizon) * haze
        image = blend(image, tuple(seen), solid)
    lit_ground = np.asarray(below) * daylight * (1 - look.haze) + np.asarray(look.horizon) * look.haze
    return to_bytes(
        blend(image, tuple(lit_ground), np.clip((-up - _FAR_GROUND_DIP) * FACE_PX / 2 + 0.5, 0, 1))
    )
