"""``outofsight data import-hm-world`` and ``data lens``: the released HM-World from its archive, and its lens."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from outofsight.cli.progress import shown_progress
from outofsight.cli.values import DryRun
from outofsight.data.outputs import check_outputs, claimed
from outofsight.files import read_text, write_json

if TYPE_CHECKING:
    from outofsight.camera_estimation.matches import Video
    from outofsight.types import CameraPath


def import_hm_world(
    parts: Annotated[Path, typer.Argument(help="folder of HM-World_* parts, or one of them")],
    out: Annotated[Path, typer.Option(help="folder for train/NAME samples and a card; goes on where it was")],
    captions: Annotated[
        Path | None, typer.Option(help="captions, name<tab>caption lines, if they lie beside the archive")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first N samples")] = None,
    dry_run: DryRun = False,
) -> None:
    """Unpack the published archive's parts as one stream, sample by sample, without joining them first."""
    from outofsight.data.import_card import write_import_card
    from outofsight.data.split_archive import find_parts, import_archive, named_captions, wanted_samples

    found = find_parts(parts)
    check_outputs([out], [*found, captions], ours=(out / "train").is_dir())
    by_name = named_captions(read_text(captions).encode()) if captions else None
    new = there = left_out = 0
    if dry_run:
        outcomes = Counter(outcome for _, outcome, _ in wanted_samples(found, out / "train", {}, limit))
        print(f"would write {out}: {outcomes['new']} new, {outcomes['there']} are there already")
        return
    with claimed(out, filled=True):
        (out / "train").mkdir(exist_ok=True)
        with shown_progress(Console(stderr=True), "samples") as show:
            for name, outcome in import_archive(found, out / "train", by_name, limit):
                new, there, left_out = (
                    new + (outcome == "new"), there + (outcome == "there"), left_out + (outcome == "incomplete")
                )  # fmt: skip
                show(new + there, limit or new + there, name)
        summary = write_import_card(out, left_out)
    print(f"{out}: {new} new, {there} were there already; {summary}")


def lens(
    data: Annotated[
        Path, typer.Argument(help="folder of a data set whose poses are known and whose lens is not")
    ],
    enough: Annotated[int, typer.Option(min=1, help="clips that must tell it")] = 20,
    dry_run: DryRun = False,
) -> None:
    """Estimate a set's lens once, from clips whose camera only turns, and write it beside them (lens.json)."""
    from outofsight.camera_estimation.known_turns import set_lens
    from outofsight.data.dataset import open_dataset
    from outofsight.data.hm_world import read_hm_world_sample
    from outofsight.data.import_card import LENS, write_import_card

    clips = open_dataset(data)
    check_outputs([data / LENS], [], ours=(data / LENS).is_file())

    def read() -> "Iterator[tuple[Video, CameraPath]]":
        with shown_progress(Console(stderr=True), "clips") as show:
            for number, entry in enumerate(clips.entries, start=1):
                show(number, len(clips), entry.name)
                clip = (
                    entry.read() if entry.is_ours else read_hm_world_sample(entry.folder, entry.caption or "")
                )
                yield clip.video, clip.cameras

    found = set_lens(read(), enough)
    if not dry_run:
        write_json(data / LENS, asdict(found))
        if (data / "train").is_dir() and (data / "README.md").is_file():
            write_import_card(data, 0)
    measured = f"{found.fov_x_deg:.2f}° across, from {found.clips} clips (± {found.spread_deg:.2f}°)"
    print(f"{'would write ' if dry_run else ''}{data / LENS}: {measured}")
