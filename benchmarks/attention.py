"""How fast is the batched retrieval attention against the published loop over frames, and against dense attention?

    python benchmarks/attention.py                     # small grid, and a part of the true one, on the CPU
    python benchmarks/attention.py --device cuda       # the whole true grid

The loop is the published form: for every query frame, gather its keys and call attention once. At the true grid the
CPU works on some of the 40 query frames; all three candidates answer the same queries, so their ratios hold.
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from outofsight.backbone.attention import Selection, retrieval_attention, sdpa
from outofsight.memory.selectors import local_window, mean_pooled_affinity, slices_inside, top_slices
from record import RESULTS, add_out, finish, interleaved_seconds, ratio

GRIDS = {  # frames, rows, columns, heads, head width
    "mini": (40, 6, 10, 6, 32),
    "published": (40, 30, 52, 12, 128),
}
WINDOW, TOP_K, KERNEL = 5, 10, 2
QUESTION = "seconds of the published loop and of dense attention over those of the batched form, same queries"


def inputs(grid: str, query_frames: int, device: str, dtype: torch.dtype) -> tuple[list[Tensor], Selection]:
    """Return query, key, value, memory key and memory value, and what the query frames selected."""
    frames, rows, columns, heads, width = GRIDS[grid]
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(1, *shape, heads, width, generator=generator).to(device, dtype)

    full = [randn(frames, rows * columns) for _ in range(3)]
    memory = [randn(frames // KERNEL, (rows // KERNEL) * (columns // KERNEL)) for _ in range(2)]
    windows = local_window(frames, WINDOW, torch.device(device))
    excluded = slices_inside(windows, frames // KERNEL, KERNEL)
    scores = mean_pooled_affinity(full[0].flatten(-2), memory[0].flatten(-2))
    selection = Selection(windows[None, :query_frames], top_slices(scores, excluded, TOP_K)[:, :query_frames])
    return [full[0][:, :query_frames], full[1], full[2], *memory], selection


def published_loop(states: list[Tensor], selection: Selection) -> Tensor:
    """Answer one query frame after the other, as the published code does."""
    query, key, value, memory_key, memory_value = states
    outputs = []
    for frame in range(query.shape[1]):
        near, far = selection.frames[0, frame], selection.slices[0, frame]
        keys = torch.cat((key[:, near].flatten(1, 2), memory_key[:, far].flatten(1, 2)), dim=1)
        values = torch.cat((value[:, near].flatten(1, 2), memory_value[:, far].flatten(1, 2)), dim=1)
        outputs.append(sdpa(query[:, frame], keys, values))
    return torch.stack(outputs, dim=1)


def dense(states: list[Tensor]) -> Tensor:
    """Answer the same queries from every frame's every token."""
    query, key, value = states[:3]
    return sdpa(query.flatten(1, 2), key.flatten(1, 2), value.flatten(1, 2))


def candidates(states: list[Tensor], selection: Selection, backward: bool) -> dict[str, Callable[[], object]]:
    forms: dict[str, Callable[[], Tensor]] = {
        "loop": partial(published_loop, states, selection),
        "dense": partial(dense, states),
    }
    for chunk in (None, 8, 1):
        name = "batched" if chunk is None else f"batched, {chunk} a time"
        forms[name] = partial(retrieval_attention, *states, selection, frames_per_chunk=chunk)
    if not backward:
        return forms

    def with_gradients(form: Callable[[], Tensor]) -> object:
        used = states if form is not forms["dense"] else states[:3]
        return torch.autograd.grad(form().float().square().sum(), used)

    return {name: partial(with_gradients, form) for name, form in forms.items()}


def measure(grid: str, query_frames: int, device: str, backward: bool, rounds: int) -> dict:
    dtype = torch.bfloat16
    states, selection = inputs(grid, query_frames, device, dtype)
    difference = (
        (retrieval_attention(*states, selection).float() - published_loop(states, selection).float())
        .abs()
        .max()
        .item()
    )
    for state in states:
        state.requires_grad_(backward)
    with torch.set_grad_enabled(backward):
        seconds = interleaved_seconds(
            candidates(states, selection, backward), torch.device(device), rounds=rounds
        )
    return {
        "grid": grid,
        "query_frames": query_frames,
        "of_frames": GRIDS[grid][0],
        "pass": "forward + backward" if backward else "forward",
        "dtype": str(dtype).removeprefix("torch."),
        "largest_difference_to_loop": difference,
        "median_seconds": {name: median(values) for name, values in seconds.items()},
        "loop_over": {name: ratio(seconds, "loop", name) for name in seconds},
        "dense_over": {name: ratio(seconds, "dense", name) for name in seconds},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--query-frames", type=int, help="of the true grid's 40 (default: 2 on a CPU, all on a GPU)"
    )
    add_out(parser)
    args = parser.parse_args()
    part = args.query_frames or (40 if args.device.startswith("cuda") else 2)
    cases = [("mini", 40, False), ("mini", 40, True), ("published", part, False)]
    if args.device.startswith("cuda"):
        cases.append(("published", part, True))
    figures = [measure(grid, frames, args.device, backward, args.rounds) for grid, frames, backward in cases]

    table = Table(
        "grid",
        "pass",
        "form",
        "seconds",
        "loop / form",
        "dense / form",
        title="retrieval attention, one layer",
    )
    for figure in figures:
        for name, seconds in figure["median_seconds"].items():
            grid = f"{figure['grid']} ({figure['query_frames']} of {figure['of_frames']} query frames)"
            ratios = (f"{figure[key][name]:.2f}" for key in ("loop_over", "dense_over"))
            table.add_row(grid, figure["pass"], name, f"{seconds:.4f}", *ratios)
    Console(width=130).print(table)
    out = args.out or RESULTS / f"attention_{args.device.split(':')[0]}.json"
    finish(
        "attention",
        QUESTION,
        {"window": WINDOW, "top_k": TOP_K, "grids": GRIDS, "rounds": args.rounds},
        figures,
        out,
        torch.device(args.device),
    )


if __name__ == "__main__":
    main()
