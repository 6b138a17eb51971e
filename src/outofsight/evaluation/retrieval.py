"""Pictures of what a model's frames retrieved from memory: how often each slice, and which frames by whom.

::

    slice        0      1      2      3   ...
    latent frame 0 1    2 3    4 5    6 7       (frames_per_slice = 2)
                 |----- context -----|---- target ----|
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from outofsight.errors import InputError, first_line
from outofsight.evaluation.case import Phase
from outofsight.evaluation.drawing import DOTS_PER_INCH, INK, PHASE_COLOURS, colour, svg
from outofsight.sampling.continuation import Retrieval

CELL_PX = 22
POINTS_PER_PX = 72 / DOTS_PER_INCH


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
            metadata = stored.metadata()
            return Retrieval(
                slices=stored.get_tensor("slices"),
                frames_per_slice=int(metadata["frames_per_slice"]),
                num_context_latent_frames=int(metadata["num_context_latent_frames"]),
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: expected a record of retrieval, could not read it ({first_line(error)})"
        ) from error


def frequencies(retrieval: Retrieval) -> Frequencies:
    """Count how often each slice was retrieved by the target's frames."""
    chosen = retrieval.slices[:, :, retrieval.num_context_latent_frames :]  # steps, layers, t, k
    num_latent = retrieval.slices.shape[2]
    num_slices = max(num_latent // retrieval.frames_per_slice, int(retrieval.slices.max()) + 1)
    shares = torch.zeros((*chosen.shape[:3], num_slices), dtype=torch.float64)
    shares.scatter_(-1, chosen.long(), 1.0)
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
    return replace(
        all_of_them[0],
        by_layer=np.mean([f.by_layer for f in all_of_them], axis=0),
        by_frame=np.mean([f.by_frame for f in all_of_them], axis=0),
    )


def bubble_plot(counts: Frequencies, title: str) -> str:
    """Draw how often each slice was retrieved in each layer: the larger the bubble, the more often. Gives SVG.

    Source: HyDRA, the figure of selection frequency, token index × layer.
    """
    num_layers, num_slices = counts.by_layer.shape
    return svg(partial(draw_bubbles, counts=counts, title=title),
               max(360, 90 + CELL_PX * num_slices, 6 * len(title)), 84 + CELL_PX * num_layers)  # fmt: skip


def draw_bubbles(figure: Figure, counts: Frequencies, title: str) -> None:
    axes = figure.subplots()
    layers, slices = np.nonzero(counts.by_layer)
    area = (0.8 * CELL_PX * POINTS_PER_PX) ** 2  # of a slice that is always retrieved, in square points
    colours = [colour(0 if index < counts.num_context_slices else 4) for index in slices]
    axes.scatter(slices, layers, s=area * counts.by_layer[layers, slices], c=colours, alpha=0.85)
    num_layers, num_slices = counts.by_layer.shape
    axes.set_title(title)
    axes.set_xlabel("slice; right of the line they begin in the target")
    axes.set_xlim(-0.5, num_slices - 0.5)
    axes.set_ylim(num_layers - 0.5, -0.5)
    axes.set_yticks(range(num_layers), [f"layer {layer}" for layer in range(num_layers)])
    axes.xaxis.set_major_locator(MaxNLocator(num_slices, integer=True))
    axes.axvline(counts.num_context_slices - 0.5, color=INK)
    axes.grid(axis="y")


def timeline(counts: Frequencies, phases: Sequence[int], title: str) -> str:
    """Draw which slices each target frame used, time going right, above a bar of the target's phases. Gives SVG.

    ``phases``: of ``Phase``, one for each target video frame; empty where they are not known.
    """
    num_frames, num_slices = counts.by_frame.shape
    return svg(partial(draw_timeline, counts=counts, phases=phases, title=title),
               max(360, 110 + CELL_PX * num_frames, 6 * len(title)), 112 + CELL_PX * num_slices)  # fmt: skip


def draw_timeline(figure: Figure, counts: Frequencies, phases: Sequence[int], title: str) -> None:
    num_frames, num_slices = counts.by_frame.shape
    axes, bar = figure.subplots(2, height_ratios=[num_slices, 0.6])
    # earlier slices lie lower
    axes.imshow(counts.by_frame.T, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    axes.set_title(title)
    length = counts.frames_per_slice
    spans = [f"{n * length}–{(n + 1) * length - 1}" if length > 1 else str(n) for n in range(num_slices)]
    axes.set_yticks(range(num_slices), spans)
    axes.set_ylabel("a slice's latent frames")
    axes.xaxis.set_major_locator(MaxNLocator(min(num_frames, 20), integer=True))
    axes.axhline(counts.num_context_slices - 0.5, color=INK)
    colours = [to_rgb(PHASE_COLOURS[Phase(phase)]) for phase in phases] or [(1.0, 1.0, 1.0)]
    bar.imshow([colours], aspect="auto")
    bar.set_xticks([])
    bar.set_yticks([0], ["phase"])
    bar.set_xlabel("target latent frames\nbelow the line: slices of the context")
