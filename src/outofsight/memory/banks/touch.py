"""Reach into the banks of one clip: keep a slot, drop it, change what it holds. What is given is left as it was.

An archive slot is named by its index, a subject by its number (``Tracks.number``), which it keeps wherever it lies.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from outofsight.errors import InputError
from outofsight.memory.banks.state import Archive, Banks, Tracks

EDITED_STD_M = 0.1
"""Standard deviation of a position that was set by hand, metres; of a velocity, metres a video frame: a tenth of it."""

Touched = Archive | Tracks


def pin(banks: Banks, *, slot: int | None = None, subject: int | None = None, on: bool = True) -> Banks:
    """Keep an archive slot from being dropped, or a subject from dying; ``on`` false lets it go again.

    Raises:
        InputError: not exactly one of both is named, or it is not there.
    """
    bank, index = _found(banks, slot, subject)
    return _put(banks, bank, index, pinned=on)


def forget(banks: Banks, *, slot: int | None = None, subject: int | None = None) -> Banks:
    """Empty an archive slot or a subject's, pinned or not.

    Raises:
        InputError: not exactly one of both is named, or it is not there.
    """
    bank, index = _found(banks, slot, subject)
    return _put(banks, bank, index, **dict.fromkeys(bank._fields, 0))


def edit_place(
    banks: Banks,
    slot: int,
    *,
    tokens: Float[Tensor, "p d"] | None = None,
    static: Float[Tensor, " p"] | None = None,
) -> Banks:
    """Change what an archive slot shows: its slice tokens, and how static each is (0 to 1).

    Raises:
        InputError: the slot is not there, nothing is changed, or a value does not fit.
    """
    archive, index = _found(banks, slot, None)
    changes = _given(archive, index, tokens=tokens, static=static)
    if static is not None and not bool(((changes["static"] >= 0) & (changes["static"] <= 1)).all()):
        raise InputError("static tells how static each token is, 0 to 1; got other numbers")
    return _put(banks, archive, index, **changes)


def edit_subject(
    banks: Banks,
    number: int,
    *,
    position: Sequence[float] | Tensor | None = None,
    velocity: Sequence[float] | Tensor | None = None,
    turn_rate: float | None = None,
    tokens: Float[Tensor, "k d"] | None = None,
    identity: Float[Tensor, " e"] | None = None,
) -> Banks:
    """Change where a subject is, how it moves, or who it is.

    ``position``: its origin in the anchor frame, metres; ``velocity``: metres a video frame; ``turn_rate``: radians a
    video frame. They are believed as after a close look (``EDITED_STD_M``); a subject in view is corrected by what is
    seen of it. ``identity`` is scaled to length 1.

    Raises:
        InputError: the subject is not there, nothing is changed, or a value does not fit.
    """
    tracks, index = _found(banks, None, number)
    moved = {"position": position, "velocity": velocity, "turn_rate": turn_rate}
    changes = _given(tracks, index, **moved, tokens=tokens, identity=identity)
    if position is not None or velocity is not None:
        variances = banks.tracks.covariance[0, index].clone()
        variances[1] = 0
        if position is not None:
            variances[0] = EDITED_STD_M**2
        if velocity is not None:
            variances[2] = (EDITED_STD_M / 10) ** 2
        changes["covariance"] = variances
    if identity is not None:
        length = changes["identity"].norm()
        if not float(length) > 0:
            raise InputError(
                "a subject's identity tells it from others by its direction; got a vector of length 0"
            )
        changes["identity"] = changes["identity"] / length
    return _put(banks, tracks, index, **changes)


def swap_subjects(banks: Banks, number: int, other: int) -> Banks:
    """Let two subjects change places: each keeps who it is (tokens, identity, box) and goes on where the other was.

    Raises:
        InputError: one of them is not there.
    """
    (_, one), (_, two) = _found(banks, None, number), _found(banks, None, other)
    kept = ("tokens", "identity", "box", "number", "born", "pinned")
    exchanged = {}
    for name in set(Tracks._fields) - set(kept):
        value = getattr(banks.tracks, name).clone()
        value[0, [one, two]] = value[0, [two, one]]
        exchanged[name] = value
    return banks._replace(tracks=banks.tracks._replace(**exchanged))


def _found(banks: Banks, slot: int | None, subject: int | None) -> tuple[Touched, int]:
    """Return the bank that is meant and the index of the slot."""
    clips = len(banks.archive.filled)
    if clips != 1:
        raise InputError(f"banks are touched one clip at a time, these are of {clips}; take one clip's first")
    if (slot is None) == (subject is None):
        raise InputError("name either an archive slot (slot=3) or a subject (subject=1)")
    if slot is not None:
        held = banks.archive.filled[0].nonzero().flatten().tolist()
        if slot not in held:
            raise InputError(f"the archive holds nothing in slot {slot}; {_listed('filled', held)}")
        return banks.archive, slot
    tracks = banks.tracks
    numbers = tracks.number[0].tolist()
    indices = {numbers[index]: index for index in tracks.filled[0].nonzero().flatten().tolist()}
    if subject is None or subject not in indices:
        raise InputError(f"no subject {subject} is followed; {_listed('followed', sorted(indices))}")
    return tracks, indices[subject]


def _listed(word: str, held: list[int]) -> str:
    return f"{word} now: {', '.join(map(str, held)) or 'none'}"


def _given(bank: Touched, index: int, **values: Any) -> dict[str, Tensor]:
    """Turn what is to be changed into tensors that fit the slot."""
    changes = {}
    for name, value in values.items():
        if value is None:
            continue
        field = getattr(bank, name)
        tensor = torch.as_tensor(value, dtype=field.dtype, device=field.device)
        if tensor.shape != field.shape[2:] or not bool(tensor.isfinite().all()):
            raise InputError(
                f"{name}: expected {list(field.shape[2:])} finite numbers, got {list(tensor.shape)}"
                + ("" if bool(tensor.isfinite().all()) else " with NaN or infinity among them")
            )
        changes[name] = tensor
    if not changes:
        raise InputError(f"nothing to change; give one of {', '.join(values)}")
    return changes


def _put(banks: Banks, bank: Touched, index: int, **values: Any) -> Banks:
    """Return the banks with one slot's fields replaced."""
    replaced = {}
    for field, value in values.items():
        replaced[field] = getattr(bank, field).clone()
        replaced[field][0, index] = value
    if isinstance(bank, Archive):
        return banks._replace(archive=bank._replace(**replaced))
    return banks._replace(tracks=bank._replace(**replaced))
