"""Named colours (sRGB in [0, 1]), so that a caption can say what a look wears, and draws from them."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from outofsight.worlds.subjects.figure import Colour

CLOTH: Mapping[str, Colour] = {
    "red": (0.80, 0.16, 0.15),
    "crimson": (0.68, 0.12, 0.24),
    "orange": (0.92, 0.48, 0.12),
    "yellow": (0.95, 0.78, 0.20),
    "mustard": (0.78, 0.60, 0.18),
    "lime": (0.62, 0.80, 0.22),
    "green": (0.20, 0.52, 0.26),
    "olive": (0.40, 0.42, 0.20),
    "teal": (0.10, 0.52, 0.52),
    "turquoise": (0.20, 0.70, 0.70),
    "sky blue": (0.42, 0.68, 0.90),
    "blue": (0.16, 0.34, 0.74),
    "navy": (0.13, 0.19, 0.42),
    "purple": (0.50, 0.26, 0.66),
    "violet": (0.58, 0.42, 0.78),
    "pink": (0.94, 0.54, 0.66),
    "magenta": (0.78, 0.18, 0.52),
    "brown": (0.48, 0.31, 0.19),
    "tan": (0.76, 0.62, 0.44),
    "cream": (0.94, 0.89, 0.76),
    "white": (0.95, 0.95, 0.94),
    "silver": (0.74, 0.76, 0.80),
    "grey": (0.50, 0.51, 0.54),
    "charcoal": (0.27, 0.28, 0.32),
    "black": (0.13, 0.13, 0.16),
}
SKINS: tuple[Colour, ...] = (
    (0.96, 0.80, 0.69),
    (0.90, 0.70, 0.56),
    (0.80, 0.59, 0.43),
    (0.65, 0.45, 0.31),
    (0.49, 0.32, 0.22),
    (0.40, 0.26, 0.18),
)
HAIRS: Mapping[str, Colour] = {
    "black": (0.10, 0.08, 0.08),
    "dark brown": (0.24, 0.15, 0.10),
    "brown": (0.42, 0.26, 0.14),
    "auburn": (0.58, 0.26, 0.12),
    "ginger": (0.82, 0.42, 0.14),
    "blond": (0.90, 0.74, 0.40),
}
GREYS: Mapping[str, Colour] = {"grey": (0.66, 0.66, 0.68), "white": (0.90, 0.90, 0.90)}
BASICS: Mapping[str, Colour] = {
    "white": (0.96, 0.96, 0.95),
    "eye": (0.10, 0.08, 0.08),
    "mouth": (0.72, 0.34, 0.32),
    "metal": (0.66, 0.68, 0.72),
    "dark": (0.16, 0.16, 0.18),
    "wood": (0.55, 0.36, 0.18),
    "tyre": (0.09, 0.09, 0.10),
    "rim": (0.78, 0.79, 0.82),
    "glass": (0.24, 0.36, 0.46),
    "lamp": (1.00, 0.95, 0.72),
    "brake": (0.82, 0.10, 0.08),
    "glow": (0.25, 0.85, 0.95),
    "seat": (0.20, 0.20, 0.22),
    "nose": (0.14, 0.11, 0.11),
    "hoof": (0.22, 0.18, 0.15),
    "horn": (0.86, 0.80, 0.66),
}


def draw(generator: np.random.Generator, names: Sequence[str]) -> str:
    """Draw one name."""
    return names[int(generator.integers(len(names)))]


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """``share`` of the second colour in the first."""
    a, b, c = (one + share * (two - one) for one, two in zip(first, second, strict=True))
    return (a, b, c)


def with_articles(text: str) -> str:
    """Say "an orange" where a drawn word begins with a vowel."""
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (factor < 1) or lighter (> 1) relative of a colour."""
    if factor <= 1:
        return (colour[0] * factor, colour[1] * factor, colour[2] * factor)
    lift = factor - 1
    return (
        colour[0] + (1 - colour[0]) * lift,
        colour[1] + (1 - colour[1]) * lift,
        colour[2] + (1 - colour[2]) * lift,
    )


def varied(generator: np.random.Generator, colour: Colour, amount: float = 0.05) -> Colour:
    """A colour a little lighter or darker, for fur and skin."""
    return shade(colour, 1 + float(generator.uniform(-amount, amount)))
