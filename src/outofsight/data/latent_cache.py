"""Encoded clips on disk: what a world model is trained on, made once by a VAE that is named by its digest.

::

    cache.json              version, digest of the VAE, what stands for the caption, the shards and their samples
    shard-000000.safetensors    some samples; arrays NAME/FIELD, and every sample's facts as metadata

Each half of a clip is encoded by itself. A latent frame stands for one video frame, the first of each half, or
for four. Arrays of a sample (``LatentSample``) are checked by a checksum when they are read.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from outofsight.errors import DatasetError, InputError, first_line
from outofsight.files import explained, read_json, remove_unfinished, write_bytes, write_json
from outofsight.geometry.conditioning import checked_lens

CACHE_VERSION = 1
INDEX = "cache.json"
EMPTY_CAPTION = "empty_caption.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentSample:
    """One encoded clip. ``None``: unknown.

    ``context_latents`` [channels, c, h, w], ``target_latents`` [channels, t, h, w]: normalised latents.
    ``context_cameras`` float32 [c, 12], ``target_cameras`` float32 [t, 12]: poses relative to the first target frame,
    metres. ``text_states`` float32 [l, width]: the caption's states, without padding. ``world_from_camera`` float64 [n,
    3, 4]: the pose of every video frame. ``visibility`` int8 [s, n] of ``Visibility``, for every subject and video
    frame; ``latent_visibility`` int8 [s, c + t]: the best within each latent frame. ``subject_ids`` uint8 [c + t, h,
    w]: which subject shows on the most pixels of a latent pixel (0: none), ``subject_share`` uint8: on how many of its
    pixels any subject shows, times 255. ``world_from_subject`` float32 [s, n, 3, 4] and ``velocity_m_s`` float32 [s, n,
    3]: where subjects are, seen or not. ``intrinsics`` float32 [4]: fx, fy, cx, cy in shares of width and height.
    ``rendered_latents`` [d, channels, t, h, w], ``rendered_masks`` uint8 [d, 8, t, h, w]: the target as memory renders
    it, d draws of the subjects' places, and its coverage and subjects times 255 (``memory.rendering.condition_masks``).
    ``scenery_latents``, ``scenery_masks``: the same once, without subjects. ``facts``: JSON values.
    """

    name: str
    caption: str
    context_latents: NDArray[np.floating]
    target_latents: NDArray[np.floating]
    context_cameras: NDArray[np.float32]
    target_cameras: NDArray[np.float32]
    text_states: NDArray[np.float32] | None = None
    world_from_camera: NDArray[np.float64] | None = None
    visibility: NDArray[np.int8] | None = None
    latent_visibility: NDArray[np.int8] | None = None
    subject_ids: NDArray[np.uint8] | None = None
    subject_share: NDArray[np.uint8] | None = None
    world_from_subject: NDArray[np.float32] | None = None
    velocity_m_s: NDArray[np.float32] | None = None
    intrinsics: NDArray[np.float32] | None = None
    rendered_latents: NDArray[np.floating] | None = None
    rendered_masks: NDArray[np.uint8] | None = None
    scenery_latents: NDArray[np.floating] | None = None
    scenery_masks: NDArray[np.uint8] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for half in ("context", "target"):
            latents, cameras = getattr(self, f"{half}_latents"), getattr(self, f"{half}_cameras")
            if latents.ndim != 4 or cameras.shape != (latents.shape[1], 12):
                raise InputError(
                    f"sample {self.name!r}: expected {half} latents [channels, frames, h, w] and cameras [frames, 12], "
                    f"got {list(latents.shape)} and {list(cameras.shape)}"
                )
        if self.intrinsics is not None:
            checked_lens(self.intrinsics)
        if not self.name or "/" in self.name:
            raise InputError(f"a sample's name must be a file name, got {self.name!r}")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that are known, by field."""
        found = {name: getattr(self, name) for name in ARRAYS}
        return {name: np.ascontiguousarray(value) for name, value in found.items() if value is not None}


ARRAYS = tuple(item.name for item in fields(LatentSample) if item.name not in ("name", "caption", "facts"))


@dataclass(frozen=True, kw_only=True)
class CacheIdentity:
    """What must be equal for samples to belong to one cache. ``text``: ``captions``, or ``states`` of an encoder.

    ``vae_digest`` and ``text_digest``: of the weights that made latents and states. ``dtype``: of the latents.
    ``rendered``: what made the rendered memory: draws, errors and the digest of the mask reader, and that there is
    scenery alone too; ``None``: there is none.
    """

    vae_digest: str
    dtype: str = "float16"
    text: str = "captions"
    text_digest: str | None = None
    samples_per_shard: int = 64
    rendered: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise InputError(f"latents are kept as float16 or float32, got {self.dtype!r}")
        if self.text not in ("captions", "states") or (self.text == "states") != bool(self.text_digest):
            raise InputError(f"text: 'captions', or 'states' with their encoder's digest; got {self.text!r}")
        if self.samples_per_shard < 1:
            raise InputError(f"a shard holds ≥ 1 samples, got {self.samples_per_shard}")

    def to_dict(self) -> dict[str, Any]:
        return {"version": CACHE_VERSION, **asdict(self)}


class CachePlan:
    """Which samples lie in which shard of a cache, and which of them are there already. Writes nothing."""

    def __init__(self, folder: Path, identity: CacheIdentity, names: Sequence[str]) -> None:
        if len(set(names)) != len(names) or not names:
            raise DatasetError(f"{folder}: expected samples with names of their own, got {len(names)} names")
        self.folder, self.identity = folder, identity
        size = identity.samples_per_shard
        self.plan = [tuple(names[begin : begin + size]) for begin in range(0, len(names), size)]

    def check(self) -> None:
        """Raise ``DatasetError`` if the folder holds another cache, or something else."""
        wanted, index = self.identity.to_dict(), self.folder / INDEX
        if index.exists():
            there = read_json(index).get("identity", {})
            different = sorted(key for key in {*there, *wanted} if there.get(key) != wanted.get(key))
            if different:
                raise DatasetError(
                    f"{self.folder}: holds a cache made with another {', '.join(different)}; choose another folder"
                )
        elif self.folder.is_dir() and any(not path.name.startswith(".") for path in self.folder.iterdir()):
            raise DatasetError(f"{self.folder}: is not empty and holds no {INDEX}; choose an empty folder")

    def missing(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Give the shards that are yet to be written, and the samples of each."""
        for number, names in enumerate(self.plan):
            path = self.folder / shard_name(number)
            if not path.exists() or _names_of(path) != names:
                yield number, names


class LatentCacheWriter(CachePlan):
    """Write a cache shard by shard. Shards that are there with the same samples are kept, so a killed run goes on.

    Raises ``DatasetError`` if the folder holds another cache, ``OutputError`` if it cannot be written.
    """

    def __init__(self, folder: Path, identity: CacheIdentity, names: Sequence[str]) -> None:
        super().__init__(folder, identity, names)
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.check()
        remove_unfinished(folder)
        write_json(folder / INDEX, {"identity": identity.to_dict(), "finished": False}, indent=1)

    def write(self, number: int, samples: Sequence[LatentSample]) -> None:
        """Write one shard, whole or not at all."""
        names = tuple(sample.name for sample in samples)
        if names != self.plan[number]:
            raise InputError(f"shard {number} is to hold {self.plan[number][:3]}..., got {names[:3]}...")
        write_shard(self.folder / shard_name(number), samples, np.dtype(self.identity.dtype))

    def write_empty_caption(self, states: NDArray[np.float32]) -> None:
        """Keep the states [l, width] of the empty caption, which stands for a caption that is left out."""
        _write_file(self.folder / EMPTY_CAPTION, save({"text_states": np.ascontiguousarray(states)}))

    def finish(self) -> None:
        """Write the index, by which readers know that the cache is whole."""
        shards = [{"file": shard_name(number), "samples": names} for number, names in enumerate(self.plan)]
        content = {"identity": self.identity.to_dict(), "finished": True, "shards": shards}
        write_json(self.folder / INDEX, content, indent=1)


def shard_name(number: int) -> str:
    return f"shard-{number:06d}.safetensors"


def write_shard(path: Path, samples: Sequence[LatentSample], dtype: np.dtype[Any]) -> None:
    """Write samples to one file, their latents as ``dtype``; whole or not at all."""
    arrays, described = {}, {}
    for sample in samples:
        own = sample.arrays()
        for kind in {name for name in own if name.endswith("_latents")}:
            own[kind] = _cast(own[kind], dtype, sample.name)
        arrays.update({f"{sample.name}/{name}": value for name, value in own.items()})
        facts = {"caption": sample.caption, "facts": sample.facts, "checksum": _checksum(own)}
        described[sample.name] = facts
    # One key: safetensors writes several in an order that differs from run to run.
    _write_file(path, save(arrays, metadata={"samples": json.dumps(described, ensure_ascii=False)}))


def _cast(latents: NDArray[np.floating], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        cast = latents.astype(dtype)
    if not np.isfinite(cast).all():
        raise DatasetError(f"sample {name!r}: latents not finite in {dtype}; check the VAE, or use float32")
    return cast


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> int:
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(arrays[name].tobytes(), total)
    return total


def _write_file(path: Path, content: bytes) -> None:
    with explained(path):
        write_bytes(path, content)


def _names_of(path: Path) -> tuple[str, ...]:
    """Tell what samples a shard holds; none if it is damaged."""
    try:
        with safe_open(path, framework="np") as shard:
            return tuple(json.loads((shard.metadata() or {}).get("samples", "{}")))
    except (SafetensorError, OSError, ValueError):
        return ()


class LatentCache(Sequence[LatentSample]):
    """The samples of a finished cache, read one at a time as they are asked for. Safe to read from threads."""

    def __init__(self, folder: Path, identity: CacheIdentity, places: Sequence[tuple[str, str]]) -> None:
        self.folder, self.identity = folder, identity
        self.places = tuple(places)  # file and name of each sample

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> LatentSample:  # type: ignore[override]
        file, name = self.places[index]
        return read_latent_sample(self.folder / file, name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.places)

    def empty_caption(self) -> NDArray[np.float32]:
        """Read the states [l, width] of the empty caption. Raises ``DatasetError`` if they are not there."""
        path = self.folder / EMPTY_CAPTION
        try:
            with safe_open(path, framework="np") as file:
                states: NDArray[np.float32] = file.get_tensor("text_states")
                return states
        except (SafetensorError, OSError) as error:
            raise DatasetError(
                f"{path}: the states of the empty caption cannot be read ({first_line(error)}); encode again"
            ) from error

    def require_vae(self, digest: str) -> None:
        """Raise ``DatasetError`` unless this VAE made the latents."""
        if self.identity.vae_digest != digest:
            raise DatasetError(
                f"{self.folder}: its latents were made by another VAE (digest {self.identity.vae_digest[:12]}, this "
                f"one's is {digest[:12]}); name the VAE that made them, or encode again"
            )


def read_latent_sample(path: Path, name: str) -> LatentSample:
    """Read one sample of a shard. Raises ``DatasetError`` naming shard and sample if it is damaged."""
    try:
        with safe_open(path, framework="np") as shard:
            facts = json.loads(shard.metadata()["samples"])[name]
            stored = set(shard.keys())
            arrays = {
                kind: shard.get_tensor(f"{name}/{kind}") for kind in ARRAYS if f"{name}/{kind}" in stored
            }
        if facts["checksum"] != _checksum(arrays):
            raise ValueError("its checksum differs")
        if "intrinsics" not in arrays and "intrinsics_px" in facts["facts"]:  # as caches were written before
            height, width = facts["facts"]["size_px"]
            sides_px = (width, height, width, height)
            arrays["intrinsics"] = np.divide(facts["facts"]["intrinsics_px"], sides_px).astype(np.float32)
        return LatentSample(name=name, caption=facts["caption"], facts=facts["facts"], **arrays)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise DatasetError(
            f"{path}: sample {name!r} is damaged ({first_line(error)}); delete the shard and encode again, the others "
            "are kept"
        ) from error


def open_latent_cache(folder: Path | str) -> LatentCache:
    """Open a finished cache.

    Raises:
        DatasetError: there is none, it is unfinished, of another version, or does not name the VAE that made it.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise DatasetError(
            f"{folder}: expected a latent cache, found no {INDEX}; make one with `outofsight data encode`"
        )
    content = read_json(folder / INDEX)
    stored = dict(content.get("identity") or {})
    if (version := stored.pop("version", None)) != CACHE_VERSION:
        raise DatasetError(
            f"{folder}: a cache of version {version}, this program reads {CACHE_VERSION}; encode again"
        )
    if not stored.get("vae_digest"):
        raise DatasetError(
            f"{folder / INDEX}: no vae_digest, so nobody can tell which VAE made the latents; encode again"
        )
    if not content.get("finished"):
        raise DatasetError(f"{folder}: the cache is unfinished; run `outofsight data encode` again to go on")
    try:
        identity = CacheIdentity(**stored)
        places = [(shard["file"], name) for shard in content["shards"] for name in shard["samples"]]
    except (TypeError, KeyError, InputError) as error:
        raise DatasetError(f"{folder / INDEX}: is damaged ({first_line(error)}); encode again") from error
    if lost := sorted({file for file, _ in places if not (folder / file).is_file()}):
        raise DatasetError(f"{folder}: lacks {lost[0]} and {len(lost) - 1} more; encode again to go on")
    return LatentCache(folder, identity, places)
