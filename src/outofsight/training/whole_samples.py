"""Leaving out the samples of a data set or a cache that cannot be read, if that is asked for."""

from outofsight.data.dataset import Dataset, whole_entries
from outofsight.data.latent_cache import LatentCache
from outofsight.errors import DatasetError, InputError


def whole_dataset(clips: Dataset, *, skip_broken: bool) -> tuple[Dataset, tuple[str, ...]]:
    """Give the clips that can be read, and what is wrong with the others; all where none is to be skipped."""
    if not skip_broken:
        return clips, ()
    entries, broken = whole_entries(clips.entries)
    return Dataset(clips.folder, entries), broken


def whole_cache(cache: LatentCache, *, skip_broken: bool) -> tuple[LatentCache, tuple[str, ...]]:
    """Give the samples of a cache that can be read, as ``whole_dataset``. Raises ``DatasetError`` if none can."""
    if not skip_broken:
        return cache, ()
    places, broken = [], []
    for index, place in enumerate(cache.places):
        try:
            cache[index]
            places.append(place)
        except InputError as error:
            broken.append(" ".join(str(error).split()))
    if not places:
        raise DatasetError(f"{cache.folder}: no sample can be read; the first: {broken[0]}")
    return LatentCache(cache.folder, cache.identity, places), tuple(broken)
