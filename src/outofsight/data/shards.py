"""Tar shards in WebDataset form: ``clip_000000.cond.mp4`` and so on, a few hundred samples a file, for training."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from outofsight.data.dataset import SampleEntry
from outofsight.data.hm_world import is_hm_world_sample, read_hm_world_sample
from outofsight.data.sample import read_sample
from outofsight.errors import DatasetError, InputError
from outofsight.files import explained, folder_in_one_piece, read_text
from outofsight.types import Clip


def write_shards(
    entries: Sequence[SampleEntry], folder: Path, samples_per_shard: int = 256
) -> tuple[Path, ...]:
    """Pack samples into ``folder/shard-000000.tar`` and so on, all or nothing, the same bytes every time.

    Raises ``DatasetError`` if there is nothing to pack or the folder exists, ``OutputError`` if it cannot be written.
    """
    if samples_per_shard < 1 or not entries:
        raise DatasetError(
            f"shards: expected ≥ 1 sample and ≥ 1 a shard, got {len(entries)} and {samples_per_shard}"
        )
    if folder.exists():
        raise DatasetError(f"{folder}: exists already; choose another folder for the shards")
    names = []
    with folder_in_one_piece(folder) as temporary:
        for begin in range(0, len(entries), samples_per_shard):
            name = f"shard-{begin // samples_per_shard:06d}.tar"
            with explained(folder), tarfile.open(temporary / name, "w", format=tarfile.USTAR_FORMAT) as shard:
                for entry in entries[begin : begin + samples_per_shard]:
                    _pack(shard, entry)
            names.append(name)
    return tuple(folder / name for name in names)


def _pack(shard: tarfile.TarFile, entry: SampleEntry) -> None:
    for path in sorted(entry.folder.iterdir()):
        content = path.read_bytes()
        header = tarfile.TarInfo(f"{entry.name}.{path.name}")  # no time, owner or mode of this machine
        header.size = len(content)
        shard.addfile(header, io.BytesIO(content))


def read_shard(path: Path) -> Iterator[Clip]:
    """Give the clips of a shard in order. Raises ``DatasetError`` naming it if it is damaged."""
    try:
        with tarfile.open(path) as shard, TemporaryDirectory() as scratch:
            current, folder = "", Path(scratch)
            for member in shard:
                name, _, file_name = member.name.partition(".")
                if name != current:
                    if current:
                        yield _unpacked(path, folder)
                    current, folder = name, Path(scratch) / name
                    folder.mkdir()
                content = shard.extractfile(member)
                if content is not None:
                    (folder / Path(file_name).name).write_bytes(content.read())
            if current:
                yield _unpacked(path, folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DatasetError(f"{path}: expected a tar of samples, got something damaged ({error})") from error


def _unpacked(shard: Path, folder: Path) -> Clip:
    try:
        if not (folder / "annotation.json").is_file() and is_hm_world_sample(folder):
            caption = folder / "caption.txt"
            return read_hm_world_sample(folder, read_text(caption).strip() if caption.is_file() else "")
        return read_sample(folder)
    except InputError as error:
        reason = str(error).replace(str(folder), folder.name)
        raise DatasetError(f"{shard}: sample {folder.name} is damaged ({reason}); get it anew") from error
