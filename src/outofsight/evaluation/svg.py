"""Pictures made of lines, circles and words, as SVG text: they need no library and stay sharp at any size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

PALETTE = (
    "#2f6fb0",
    "#d1495b",
    "#3a8f5c",
    "#8a5fb5",
    "#d98324",
    "#4aa3a2",
    "#8c6b4f",
    "#6c757d",
    "#b5478f",
    "#5b7c1f",
)
"""Colours of rows and curves, in order, again from the start where there are more."""

XMLNS = ' xmlns="http://www.w3.org/2000/svg"'

INK, FAINT = "#222222", "#d9d9d9"


def colour(index: int) -> str:
    """Give the n-th colour."""
    return PALETTE[index % len(PALETTE)]


@dataclass
class Svg:
    """A picture of ``width`` × ``height`` px, to which shapes are added; x to the right, y down."""

    width: float
    height: float
    _parts: list[str] = field(default_factory=list)

    def line(self, x0: float, y0: float, x1: float, y1: float, stroke: str = INK, width: float = 1) -> None:
        self._parts.append(
            f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{stroke}" stroke-width="{width}"/>'
        )

    def polyline(self, points: Sequence[tuple[float, float]], stroke: str, width: float = 1.5) -> None:
        listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{listed}" fill="none" stroke="{stroke}" stroke-width="{width}"/>'
        )

    def rect(self, x: float, y: float, width: float, height: float, fill: str, title: str = "") -> None:
        shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"'
        self._parts.append(f"{shape}>{_title(title)}</rect>" if title else f"{shape}/>")

    def circle(
        self, x: float, y: float, radius: float, fill: str, title: str = "", opacity: float = 1
    ) -> None:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}"'
        shape += f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
        self._parts.append(f"{shape}>{_title(title)}</circle>" if title else f"{shape}/>")

    def text(
        self, x: float, y: float, words: str, size: float = 11, anchor: str = "start", fill: str = INK
    ) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{fill}">'
            f"{escape(words)}</text>"
        )

    def to_text(self) -> str:
        """Give the SVG document."""
        size = f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        head = f'<svg{XMLNS} {size} font-family="Helvetica, Arial, sans-serif">'
        ground = f'<rect width="{self.width:.0f}" height="{self.height:.0f}" fill="white"/>'
        return "\n".join((head, ground, *self._parts, "</svg>")) + "\n"


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Maps values from ``low`` to ``high`` to places from ``start`` to ``end`` in px; others to the nearer edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Choose round values within [low, high], at most so many."""
    if not high > low:
        return [low]
    exponent = -12
    while True:
        for step in (1, 2, 5):
            width = step * 10.0**exponent
            first = -int(-low // width) if low >= 0 else int(low // width) + (low % width > 0)
            count = int(high // width) - first + 1
            if count <= most:
                return [round((first + index) * width, 12) for index in range(max(count, 0))]
        exponent += 1
