"""The released HM-World as it is published: one tar in parts, ``HM-World_*``, read as a stream, sample by sample.

::

    HM-World_aa HM-World_ab HM-World_ac     = one .tar.gz (or .tar), cut anywhere
    <any folders>/<sample>/cond.mp4 tgt.mp4 cond_mask.mp4 tgt_mask.mp4 camera.json character.json check.json
    one text of captions, beside the parts or in the archive: name<tab or colon>caption lines

The parts' suffixes must follow one another. A sample's files are expected side by side. Source: the data set's card,
seen in a copy.
"""

import io
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from outofsight.data.dataset import natural_order
from outofsight.data.hm_world import HM_WORLD_FILES
from outofsight.errors import DatasetError
from outofsight.files import explained, folder_in_one_piece, read_json, remove_unfinished, write_text

PART = re.compile(r"(?P<stem>.+_)(?P<suffix>(part)?([a-z]+|\d+))(\.tar(\.gz)?|\.tgz)?")
OPTIONAL = ("cond_mask.mp4", "tgt_mask.mp4", "character.json", "check.json", "caption.txt")
KNOWN_FILES = (*HM_WORLD_FILES, *OPTIONAL)
MOST_FILE_BYTES = 1 << 30
CAPTION_FILES = (".txt", ".tsv")


class JoinedParts:
    """Files read one after another, as the one stream that ``tarfile`` is given."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._waiting = list(parts)
        self._file: BinaryIO = io.BytesIO()

    def read(self, size: int) -> bytes:
        while not (content := self._file.read(size)) and self._waiting:
            self._file.close()
            self._file = self._waiting.pop(0).open("rb")
        return content

    def close(self) -> None:
        self._file.close()


def find_parts(place: Path) -> list[Path]:
    """Find the parts of an archive, in order: of a folder, or those of one part's name.

    Raises:
        DatasetError: there is none, or one is missing between others.
    """
    own = PART.fullmatch(place.name) if place.is_file() else None
    if own is None and not place.is_dir():
        raise DatasetError(f"{place}: expected a folder of parts such as HM-World_aa, or one of them")
    files = [path for path in (place.parent if own else place).iterdir() if path.is_file()]
    matches = [match for match in (PART.fullmatch(path.name) for path in files) if match]
    stems = {match["stem"] for match in ([own] if own else matches)}
    stem = "HM-World_" if "HM-World_" in stems else next(iter(stems), "")
    found = [match for match in matches if match["stem"] == stem]
    if not found:
        raise DatasetError(f"{place}: holds no parts of an archive; expected HM-World_aa, HM-World_ab ...")
    found.sort(key=lambda match: natural_order(match["suffix"]))
    _check_sequence([match["suffix"].removeprefix("part") for match in found], stem)
    return [files[0].with_name(match.string) for match in found]


def _check_sequence(suffixes: list[str], stem: str) -> None:
    """Refuse a gap: the first part is aa or a zero or one, and each follows the one before it."""
    numbers = [int(one) if one.isdecimal() else _counted(one) for one in suffixes]
    first = numbers[0]
    for number, suffix in zip(range(first, first + len(numbers)), numbers, strict=True):
        if number != suffix:
            place = suffixes[number - first - 1]
            raise DatasetError(f"{stem}*: a part is missing after {stem}{place}; get it, then run again")
    if first > 1 or (first == 1 and not suffixes[0].isdecimal()):
        raise DatasetError(f"{stem}*: the first part is missing: parts begin with {stem}{suffixes[0]}")


def _counted(letters: str) -> int:
    """Count aa, ab, ..., az, ba, ... from 0."""
    value = 0
    for letter in letters:
        value = 26 * value + ord(letter) - ord("a")
    return value


def samples_in(parts: Sequence[Path]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Give each folder of the archive as its name and its files; captions of all as the name "" and the file's text.

    Raises:
        DatasetError: the archive is cut short, damaged, or no tar.
    """
    current: PurePosixPath | None = None
    files: dict[str, bytes] = {}
    stream: Any = JoinedParts(parts)
    try:
        with closing(stream), tarfile.open(fileobj=stream, mode="r|*", bufsize=1 << 20) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if not member.isfile() or member.size > MOST_FILE_BYTES or path.name.startswith("."):
                    continue
                if path.name not in KNOWN_FILES or (path.name == "caption.txt" and len(path.parts) < 3):
                    if path.suffix in CAPTION_FILES:
                        yield "", {path.name: _content(archive, member)}
                    continue
                if path.parent.name in ("", ".."):
                    raise DatasetError(f"{parts[0]}: {member.name} lies in no folder; is it HM-World's?")
                if path.parent != current:
                    if current is not None and files:
                        yield current.name, files
                    current, files = path.parent, {}
                files[path.name] = _content(archive, member)
            if current is not None and files:
                yield current.name, files
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        last = "" if current is None else f" after {current}"
        raise DatasetError(
            f"{parts[0]} and {len(parts) - 1} more: the archive is cut short or damaged{last} ({error}); get the last "
            "part anew; what was read is kept"
        ) from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise EOFError(f"{member.name} has {len(content)} of {member.size} bytes")
    return content


def import_archive(
    parts: Sequence[Path], out: Path, captions: dict[str, str] | None = None, limit: int | None = None
) -> Iterator[tuple[str, str]]:
    """Write every sample as a folder ``out/NAME``, all or nothing; give its name: *new*, *there* or *incomplete*.

    Samples that are there are kept, so the same call goes on. Captions go into the samples: those given, and those that
    the archive holds, wherever in it. Raises ``DatasetError`` as ``samples_in`` does, ``OutputError``.
    """
    known = dict(captions or {})
    remove_unfinished(out)
    for name, outcome, files in wanted_samples(parts, out, known, limit):
        if outcome == "new":
            with folder_in_one_piece(out / name) as temporary:
                for file, content in files.items():
                    (temporary / file).write_bytes(content)
        yield name, outcome
    for folder in (path for path in out.iterdir() if path.is_dir() and path.name in known):
        if not (folder / "caption.txt").is_file():
            with explained(folder):
                (folder / "caption.txt").write_text(known[folder.name] + "\n", encoding="utf-8")


def wanted_samples(
    parts: Sequence[Path], out: Path, captions: dict[str, str], limit: int | None
) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Read the archive and give each sample's name, what is to be done with it, and its files; writes nothing.

    Captions that the archive holds are added to ``captions``.
    """
    wanted = 0
    for name, files in samples_in(parts):
        if not name:
            captions |= named_captions(next(iter(files.values())))
            continue
        if limit is not None and wanted >= limit:
            break
        if not set(HM_WORLD_FILES) <= files.keys():
            yield name, "incomplete", files
            continue
        wanted += 1
        yield name, "there" if (out / name).is_dir() else "new", files


def named_captions(content: bytes) -> dict[str, str]:
    """Read ``name<tab or colon>caption`` lines. Raises ``DatasetError`` for what is no text."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError("captions: expected text in UTF-8, got other bytes") from error
    pairs = [line.partition("\t" if "\t" in line else ":") for line in lines if line.strip()]
    return {name.strip(): caption.strip() for name, mark, caption in pairs if mark and caption.strip()}


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
