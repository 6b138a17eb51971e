"""Images that hang, shine or stand on shelves: paintings, screens, book spines, goods, posters."""

import numpy as np

from outofsight.worlds.scenes.noise import Field, blend, fractal_noise, shade

PICTURE_PX = 96


def _grid(size: int = PICTURE_PX) -> tuple[Field, Field]:
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(place, place)
    return x, y


def painting(rng: np.random.Generator) -> Field:
    """An abstract, a landscape, a still life or a portrait, by chance."""
    return (_abstract, _landscape, _stripes, _portrait)[int(rng.integers(4))](rng)


def _abstract(rng: np.random.Generator) -> Field:
    x, y = _grid()
    image = shade(tuple(rng.uniform(0.6, 0.95, 3)), np.ones_like(x))
    for _ in range(9):
        cx, cy, w, h = *rng.uniform(0, 1, 2), *rng.uniform(0.06, 0.3, 2)
        inside = (
            ((x - cx) / w) ** 2 + ((y - cy) / h) ** 2 < 1
            if rng.random() < 0.5
            else (abs(x - cx) < w) & (abs(y - cy) < h)
        )
        image = blend(image, tuple(rng.uniform(0.05, 0.95, 3)), inside.astype(np.float32))
    return image


def _landscape(rng: np.random.Generator) -> Field:
    x, y = _grid()
    image = blend(shade(tuple(rng.uniform(0.5, 0.95, 3)), np.ones_like(x)), tuple(rng.uniform(0.5, 1, 3)), y)
    image = blend(
        image, (1.0, 0.85, 0.5), (np.hypot(x - rng.uniform(0.2, 0.8), y - 0.25) < 0.09).astype(np.float32)
    )
    for level in (0.45, 0.58, 0.74):
        line = level + 0.1 * fractal_noise(rng, 2, PICTURE_PX, 3, 4)[0][None, :]
        image = blend(image, tuple(rng.uniform(0.1, 0.6, 3) * (1.3 - level)), (y > line).astype(np.float32))
    return image * (1 + 0.1 * fractal_noise(rng, PICTURE_PX, PICTURE_PX, 24, 2))[..., None]


def _stripes(rng: np.random.Generator) -> Field:
    x, y = _grid()
    edges = np.sort(rng.uniform(0, 1, 6))
    colours = rng.uniform(0.1, 0.95, (7, 3)).astype(np.float32)
    bend = x if rng.random() < 0.5 else y
    return colours[np.searchsorted(edges, bend + 0.06 * fractal_noise(rng, PICTURE_PX, PICTURE_PX, 3, 3))]


def _portrait(rng: np.random.Generator) -> Field:
    x, y = _grid()
    image = shade(tuple(rng.uniform(0.1, 0.4, 3)), 1 + 0.3 * fractal_noise(rng, PICTURE_PX, PICTURE_PX, 4))
    coat, skin = tuple(rng.uniform(0.1, 0.7, 3)), tuple(np.array([0.85, 0.65, 0.5]) * rng.uniform(0.6, 1.1))
    image = blend(image, coat, (((x - 0.5) / 0.36) ** 2 + ((y - 1.02) / 0.42) ** 2 < 1).astype(np.float32))
    image = blend(
        image,
        tuple(rng.uniform(0.05, 0.4, 3)),
        (((x - 0.5) / 0.19) ** 2 + ((y - 0.37) / 0.25) ** 2 < 1).astype(np.float32),
    )
    image = blend(image, skin, (((x - 0.5) / 0.14) ** 2 + ((y - 0.42) / 0.2) ** 2 < 1).astype(np.float32))
    for side in (-0.055, 0.055):
        image = blend(
            image, (0.1, 0.08, 0.08), (np.hypot(x - 0.5 - side, 1.4 * (y - 0.4)) < 0.018).astype(np.float32)
        )
    return image


def book_rows(rng: np.random.Generator, rows: int = 4) -> Field:
    """Shelves of books seen from the front."""
    x, y = _grid(128)
    image = shade((0.22, 0.15, 0.1), np.ones_like(x))
    for row in range(rows):
        edges = np.sort(rng.uniform(0.02, 0.98, 26))
        which = np.searchsorted(edges, x)
        tops = rng.uniform(0.1, 0.42, 27)[which] / rows
        colours = (rng.uniform(0.12, 0.8, (27, 3)) * rng.uniform(0.5, 1.1, (27, 1))).astype(np.float32)
        colours[rng.random(27) < 0.08] = 0.08
        books = (y > row / rows + tops) & (y < (row + 0.92) / rows) & (x > 0.02) & (x < 0.98)
        band = (y > (row + 0.6) / rows) & (y < (row + 0.66) / rows)
        spines = blend(colours[which], (0.85, 0.75, 0.45), (0.5 * band).astype(np.float32))
        image = blend(image, spines, books.astype(np.float32))
        image = blend(
            image, (0.55, 0.4, 0.26), ((y >= (row + 0.92) / rows) & (y < (row + 1) / rows)).astype(np.float32)
        )
    return image


def goods_rows(rng: np.random.Generator, rows: int = 4) -> Field:
    """Shop shelves: runs of equal packets, bottles and tins, price strips below."""
    x, y = _grid(128)
    image = shade((0.86, 0.86, 0.84), np.ones_like(x))
    for row in range(rows):
        start = 0.0
        while start < 1:
            width, count = rng.uniform(0.06, 0.11), int(rng.integers(2, 5))
            colour, label = rng.uniform(0.15, 0.95, 3), rng.uniform(0.3, 1, 3)
            tall = rng.uniform(0.45, 0.78) / rows
            local = (x - start) / width
            inside = (x > start) & (x < start + count * width) & (abs(local % 1 - 0.5) < 0.42)
            shelf = (row + 0.88) / rows
            body = inside & (y > shelf - tall) & (y < shelf)
            image = blend(image, tuple(colour), body.astype(np.float32))
            band = body & (y > shelf - 0.65 * tall) & (y < shelf - 0.35 * tall)
            image = blend(image, tuple(label), band.astype(np.float32))
            start += count * width + 0.01
        strip = (y > (row + 0.89) / rows) & (y < (row + 0.97) / rows)
        image = blend(
            image, (0.95, 0.85, 0.25) if rng.random() < 0.5 else (0.9, 0.9, 0.92), strip.astype(np.float32)
        )
        gap = (y < (row + 0.07) / rows) & (y > row / rows)
        image = blend(image, (0.3, 0.3, 0.32), 0.6 * gap.astype(np.float32))
    return image


def screen(rng: np.random.Generator) -> Field:
    """A monitor at work: windows, lines of text, a chart."""
    x, y = _grid()
    dark = rng.random() < 0.5
    image = shade((0.1, 0.12, 0.16) if dark else (0.92, 0.94, 0.96), np.ones_like(x))
    image = blend(image, tuple(rng.uniform(0.2, 0.7, 3)), (y < 0.08).astype(np.float32))
    ink = (0.55, 0.75, 0.6) if dark else (0.3, 0.33, 0.4)
    for line in np.arange(0.15, 0.92, 0.07):
        end = rng.uniform(0.2, 0.55)
        image = blend(image, ink, 0.8 * ((abs(y - line) < 0.014) & (x > 0.06) & (x < end)).astype(np.float32))
    for k in range(6):
        left, tall = 0.62 + 0.055 * k, rng.uniform(0.1, 0.5)
        bar = (x > left) & (x < left + 0.04) & (y > 0.85 - tall) & (y < 0.85)
        image = blend(image, tuple(rng.uniform(0.3, 0.95, 3)), bar.astype(np.float32))
    return image


def poster(rng: np.random.Generator) -> Field:
    """A sign with a bold shape and lines of type."""
    x, y = _grid()
    image = shade(tuple(rng.uniform(0.5, 1.0, 3)), np.ones_like(x))
    strong = tuple(rng.uniform(0.05, 0.6, 3))
    shape = (
        np.hypot(x - 0.5, y - 0.38) < 0.26 if rng.random() < 0.5 else (abs(x - 0.5) + abs(y - 0.38)) < 0.32
    )
    image = blend(image, strong, shape.astype(np.float32))
    for line in (0.74, 0.82, 0.9):
        image = blend(
            image,
            strong,
            ((abs(y - line) < 0.022) & (abs(x - 0.5) < rng.uniform(0.2, 0.4))).astype(np.float32),
        )
    return image
