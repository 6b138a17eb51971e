"""What an imported HM-World holds and lacks, counted from its files: the card beside it."""

from collections import Counter
from pathlib import Path

from outofsight.files import read_json, write_text

OPTIONAL = ("cond_mask.mp4", "tgt_mask.mp4", "character.json", "check.json", "caption.txt")
NEVER = (
    "splits and a list of clips for evaluation", "a lens (intrinsics)", "depth", "a mask for each subject",
    "a schema of its JSON files",
)  # fmt: skip
LENS = "lens.json"


def write_import_card(folder: Path, incomplete: int) -> str:
    """Write README.md of a folder with train/NAME samples; give its last line. ``incomplete``: samples left out."""
    names = [path for path in (folder / "train").iterdir() if path.is_dir() and not path.name.startswith(".")]
    missing = Counter(file for path in names for file in OPTIONAL if not (path / file).is_file())
    lacks = ", ".join(f"{file} of {count}" for file, count in missing.items()) or "nothing"
    lens = "unknown; `outofsight data lens` estimates it"
    if (folder / LENS).is_file():
        found = read_json(folder / LENS)
        lens = f"{found['fov_x_deg']:.2f}° across, estimated from {found['clips']} clips (± {found['spread_deg']:.2f}°)"
    summary = f"{len(names)} samples; missing: {lacks}; {incomplete} incomplete ones left out"
    write_text(
        folder / "README.md",
        "# HM-World, imported from its published archive\n\n"
        f"* {summary}\n* lens: {lens}\n* never published: {', '.join(NEVER)}\n",
    )
    return summary
