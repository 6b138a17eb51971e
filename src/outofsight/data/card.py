"""The data set's README: what is in it, counted, and what each field means. Written by the build, from the files."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from outofsight.data.annotation import ANNOTATION_VERSION, FIELDS
from outofsight.data.dataset import SPLITS, SampleEntry, open_dataset
from outofsight.data.files import read_json, write_text
from outofsight.data.sample import __doc__ as LAYOUT

FILE_SHAPES = (
    ("cond.mp4", "RGB video", "context frames, H.264"),
    ("tgt.mp4", "RGB video", "target frames, H.264"),
    ("cond_mask.mp4, tgt_mask.mp4", "video", "white where any subject is, lossless"),
    ("camera.json", "{cond_cam, tgt_cam}: frame → 4×4", "camera-to-world, Unreal axes, cm"),
    ("character.json", "{cond_character, tgt_character}: subject → frame → [x, y, z]", "Unreal world, cm"),
    (
        "check.json",
        "{cond_check, tgt_check}: actor → subject → events",
        "frame within the half, inFrame true or false",
    ),
    ("instances.npz", "ids: uint8 [n, height, width]", "0 scenery, else the subject's id"),
    (
        "depth.npz (where asked for)",
        "depth_m: float16 [n, height, width]",
        "metres along the camera axis, inf in the sky",
    ),
)


def write_card(folder: Path, identity: dict[str, Any]) -> tuple[int, int]:
    """Write README.md, and give how many worlds were drawn and rendered for it.

    Raises ``OutputError``, or ``DatasetError`` if a sample has no readable annotation.
    """
    entries = open_dataset(folder).entries
    records = [read_json(entry.folder / "annotation.json") for entry in entries]
    parts = [
        "# Clips of worlds whose subjects leave, move on unseen, and return",
        _summary(records),
        _split_table(entries, records),
        "## Scenes\n\n" + _counted(Counter(scene_of(record) for record in records)),
        "## Subjects\n\n"
        + _counted(Counter(item["name"] for record in records for item in record["subjects"])),
        "## Cameras\n\n" + _counted(Counter(camera_of(record) for record in records)),
        "## Files of a sample\n\n```" + (LAYOUT or "").split("\n\n", 1)[1] + "```",
        "## Shapes and units\n\n" + _table(("file", "form", "content"), FILE_SHAPES),
        f"## annotation.json, version {ANNOTATION_VERSION}\n\n"
        + _table(("field", "meaning"), FIELDS.items()),
        "## Made from\n\n```json\n" + _settings(identity) + "\n```\n\nThe same settings give the same clips.",
    ]
    write_text(folder / "README.md", "\n\n".join(parts) + "\n")
    return acceptance_of(records)


def scene_of(record: dict[str, Any]) -> str:
    """Name a sample's scene, where its annotation tells."""
    return str(record.get("extra", {}).get("scene", {}).get("name", "unknown"))


def camera_of(record: dict[str, Any]) -> str:
    """Name a sample's camera trajectory, where its annotation tells."""
    return str(record.get("extra", {}).get("spec", {}).get("camera", {}).get("trajectory", "unknown"))


def acceptance_of(records: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Give how many worlds were drawn by geometry, and how many rendered, to get these clips."""
    counts = [record.get("extra", {}).get("acceptance", {}) for record in records]
    return sum(c.get("num_drawn", 0) for c in counts), sum(c.get("num_rendered", 0) for c in counts)


def _summary(records: Sequence[dict[str, Any]]) -> str:
    first = records[0]
    drawn, rendered = acceptance_of(records)
    sizes = sorted({(record["height_px"], record["width_px"]) for record in records})
    lines = [
        f"{len(records)} clips of {first['num_context_frames']} context and {first['num_target_frames']} target frames "
        f"at {first['fps']:g} frames a second, {', '.join(f'{h}×{w}' for h, w in sizes)} px.",
        "In every clip some subject is seen in the context, leaves the picture, and is seen again in the target.",
    ]
    if drawn and rendered:
        lines.append(
            f"Acceptance: {len(records)} clips of {drawn} drawn worlds ({len(records) / drawn:.1%}) by geometry; masks "
            f"confirmed {len(records)} of {rendered} rendered ({len(records) / rendered:.1%})."
        )
    return "\n".join(lines)


def _split_table(entries: Sequence[SampleEntry], records: Sequence[dict[str, Any]]) -> str:
    rows = []
    for split in SPLITS:
        part = [record for entry, record in zip(entries, records, strict=True) if entry.split == split]
        held = [record.get("extra", {}).get("held_out", {}) for record in part]
        scenes = sum(bool(item.get("scene")) for item in held)
        subjects = sum(bool(item.get("subjects")) for item in held)
        rows.append((split, str(len(part)), str(scenes), str(subjects)))
    heads = ("part", "clips", "in held-out scenes", "with held-out subjects")
    return "## Parts\n\n" + _table(heads, rows)


def _counted(counter: Counter[str]) -> str:
    return _table(("name", "times"), [(name, str(count)) for name, count in sorted(counter.items())])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _settings(identity: dict[str, Any]) -> str:
    return json.dumps(identity, indent=2, ensure_ascii=False)
