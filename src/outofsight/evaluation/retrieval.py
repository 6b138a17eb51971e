"""Pictures of what a model's frames retrieved from memory: how often each slice, and which frames by whom.

::

    slice        0      1      2      3   ...
    latent frame 0 1    2 3    4 5    6 7       (frames_per_slice = 2)
                 |----- context -----|---- target ----|
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from outofsight.errors import InputError
from outofsight.evaluation.case import Phase
from outofsight.evaluation.svg import FAINT, INK, Svg, colour
from outofsight.sampling.pipeline import Retrieval

PHASE_COLOURS = {Phase.VISIBLE: "#4c8c4a", Phase.HIDDEN: "#9aa0a6", Phase.REENTERED: "#d9822b"}
PHASE_WORDS = {Phase.VISIBLE: "visible", Phase.HIDDEN: "hidden", Phase.REENTERED: "re-entered"}

CELL_PX, MARGIN_PX = 22, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Frequencies:
    """How often slices were retrieved by target frames, as shares from 0 to 1.

    ``by_layer`` [layers, slices]: of all steps and target frames; ``by_frame`` [target latent frames, slices]: of all
    steps and layers. ``num_context_slices``: slices that begin in the context.
    """

    by_layer: NDArray[np.float64]
    by_frame: NDArray[np.float64]
    num_context_slices: int
    frames_per_slice: int


def load_retrieval(path: Path) -> Retrieval:
    """Read what ``Retrieval.save`` wrote. Raises ``InputError`` naming a file that is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as stored:
            told = stored.metadata()
            return Retrieval(
                slices=stored.get_tensor("slices"),
                frames_per_slice=int(told["frames_per_slice"]),
                num_context_latent_frames=int(told["num_context_latent_frames"]),
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: expected a record of retrieval, could not read it ({error})") from error


def frequencies(retrieval: Retrieval) -> Frequencies:
    """Count how often each slice was retrieved by the target's frames."""
    chosen = retrieval.slices[:, :, retrieval.num_context_latent_frames :]  # steps, layers, t, k
    num_latent = retrieval.slices.shape[2]
    num_slices = max(num_latent // retrieval.frames_per_slice, int(retrieval.slices.max()) + 1)
    picked = torch.zeros((*chosen.shape[:3], num_slices), dtype=torch.bool)
    picked.scatter_(-1, chosen.long(), True)
    shares = picked.double()
    return Frequencies(
        by_layer=shares.mean(dim=(0, 2)).numpy(),
        by_frame=shares.mean(dim=(0, 1)).numpy(),
        num_context_slices=-(-retrieval.num_context_latent_frames // retrieval.frames_per_slice),
        frames_per_slice=retrieval.frames_per_slice,
    )


def mean_frequencies(all_of_them: Sequence[Frequencies]) -> Frequencies:
    """Average over clips. Raises ``InputError`` unless they have one shape."""
    shapes = {(f.by_layer.shape, f.by_frame.shape) for f in all_of_them}
    if len(shapes) != 1:
        raise InputError(
            f"retrieval can be averaged over clips of one length and one model, got shapes {shapes}"
        )
    first = all_of_them[0]
    return Frequencies(
        by_layer=np.mean([f.by_layer for f in all_of_them], axis=0),
        by_frame=np.mean([f.by_frame for f in all_of_them], axis=0),
        num_context_slices=first.num_context_slices,
        frames_per_slice=first.frames_per_slice,
    )


def bubble_plot(counts: Frequencies, title: str) -> str:
    """Draw how often each slice was retrieved in each layer: the larger the bubble, the more often. Gives SVG.

    Source: HyDRA, the figure of selection frequency, token index × layer.
    """
    num_layers, num_slices = counts.by_layer.shape
    svg = Svg(_width(num_slices, title), 64 + CELL_PX * num_layers + 24)
    svg.text(8, 18, title, size=13)
    top = 48.0
    for layer in range(num_layers):
        y = top + CELL_PX * (layer + 0.5)
        svg.text(MARGIN_PX - 8, y + 4, f"layer {layer}", anchor="end")
        svg.line(MARGIN_PX, y, MARGIN_PX + CELL_PX * num_slices, y, FAINT)
        for index in range(num_slices):
            share = float(counts.by_layer[layer, index])
            if share > 0:
                radius = (CELL_PX / 2 - 1) * share**0.5  # the area tells the share
                fill = colour(0 if index < counts.num_context_slices else 4)
                words = f"slice {index}, layer {layer}: {share:.0%}"
                svg.circle(MARGIN_PX + CELL_PX * (index + 0.5), y, radius, fill, words, opacity=0.85)
    _name_slices(svg, counts, top - 8, top + CELL_PX * num_layers)
    return svg.to_text()


def timeline(counts: Frequencies, phases: Sequence[int], title: str) -> str:
    """Draw which slices each target frame used, time going right, above a bar of the target's phases. Gives SVG.

    ``phases``: of ``Phase``, one for each target video frame; empty where they are not known.
    """
    num_frames, num_slices = counts.by_frame.shape
    svg = Svg(_width(num_frames, title), 36 + CELL_PX * num_slices + 66)
    svg.text(8, 18, title, size=13)
    top = 36.0
    for index in range(num_slices):
        y = top + CELL_PX * (num_slices - 1 - index)  # earlier slices lie lower
        first = index * counts.frames_per_slice
        svg.text(
            MARGIN_PX - 6, y + CELL_PX / 2 + 4, f"{first}–{first + counts.frames_per_slice - 1}", anchor="end"
        )
        for frame in range(num_frames):
            share = float(counts.by_frame[frame, index])
            words = f"target latent frame {frame}, slice {index}: {share:.0%}"
            svg.rect(MARGIN_PX + CELL_PX * frame, y, CELL_PX - 1, CELL_PX - 1, _shade(share), words)
    border = top + CELL_PX * (num_slices - counts.num_context_slices)
    svg.line(MARGIN_PX, border - 0.5, MARGIN_PX + CELL_PX * num_frames, border - 0.5, INK, 1.5)
    bottom = top + CELL_PX * num_slices
    svg.text(8, bottom + 18, "phase", fill=INK)
    for place, phase in enumerate(phases):
        x = MARGIN_PX + CELL_PX * num_frames * place / len(phases)
        svg.rect(x, bottom + 8, CELL_PX * num_frames / len(phases) + 0.5, 10, PHASE_COLOURS[Phase(phase)])
    svg.text(8, bottom + 38, "columns: target latent frames", size=10)
    svg.text(8, bottom + 52, "rows: a slice's latent frames; below the line: context", size=10)
    return svg.to_text()


def _width(num_cells: int, title: str) -> float:
    """Give the width in px that holds the cells and the title."""
    return max(MARGIN_PX + CELL_PX * num_cells + 20, 20 + 7 * len(title), 300)


def _name_slices(svg: Svg, counts: Frequencies, above: float, below: float) -> None:
    """Write the slices' numbers, and where context ends and target begins."""
    num_slices = counts.by_layer.shape[1]
    for index in range(num_slices):
        svg.text(MARGIN_PX + CELL_PX * (index + 0.5), above, str(index), size=10, anchor="middle")
    border = MARGIN_PX + CELL_PX * counts.num_context_slices
    svg.line(border, above - 12, border, below, INK, 1.5)
    svg.text(border - 4, below + 18, "context", anchor="end")
    svg.text(border + 4, below + 18, "target")


def _shade(share: float) -> str:
    """Give a colour between white (never) and blue (always)."""
    white, full = (247, 248, 250), (31, 84, 153)
    red, green, blue = (round(w + (f - w) * share) for w, f in zip(white, full, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"
