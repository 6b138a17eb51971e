"""What the two banks hold: bounded records of plain tensors, how large they may be, and how to reach into them by hand.

Conventions: everything lies in the **anchor** frame, that of the first camera of the target, or of a rollout's last
context camera (OpenCV axes: x right, y down, z forward; metres). Time is counted in video frames; frame 0 is the first
of the context. Poses are row-flattened 3×4 ``anchor_from_camera``. Velocities are metres a video frame, turn rates
radians a video frame.

To edit: an archive slot is named by its index, a subject by its number (``Tracks.number``), which it keeps wherever it
lies; banks that are given are left as they were. ``InputError``: what is named is not there, nothing would change, or a
value does not fit.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from outofsight.errors import InputError
from outofsight.memory.selectors import Kernel, Side


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class BankSettings:
    """How large the banks are, and how fast they change.

    ``archive_slots``, ``subject_slots``: room for slices and for subjects. ``kernel``: video tokens in one slice
    token (frames, rows, columns; frames 1). ``archive_rate``, ``subject_rate``: α of the gated merges.
    ``relevance``: how relevant a slot must be (common view · likeness) to take a new slice in. ``top_k``: slots of
    both banks together that a chunk retrieves (0: none). ``rendered``: what a model that is shown rendered memory
    is shown: the archivist's views (``scenery``), also the tracker's cut-outs (``all``), or ``none``. ``shown``: as
    ``channels`` beside its noisy latents, or as ``history``, clean tokens at the coming frames' times, which need
    no weights. ``place_draw``: how far from the tracker's mean, in its own deviations, subjects are put up, by the
    seed (0: at the mean; 1: a draw of its own). ``subject_grid``: identity tokens of a subject, rows × columns over
    its box. ``identity_width``: numbers of a subject's identity vector. ``reader_width``: channels of the scene
    reader.
    """

    archive_slots: int = Field(default=24, ge=1, le=10_000)
    subject_slots: int = Field(default=4, ge=1, le=10_000)
    kernel: Kernel = (1, 1, 1)
    archive_rate: float = Field(default=0.2, gt=0, le=1)
    subject_rate: float = Field(default=0.3, gt=0, le=1)
    relevance: float = Field(default=0.9, gt=0, le=1)
    top_k: int = Field(default=8, ge=0, le=100_000)
    rendered: Literal["none", "scenery", "all"] = "all"
    shown: Literal["channels", "history"] = "channels"
    place_draw: float = Field(default=0.0, ge=0, le=100)
    subject_grid: tuple[Side, Side] = (3, 3)
    identity_width: int = Field(default=32, ge=1, le=10_000)
    reader_width: int = Field(default=64, ge=1, le=10_000)

    @field_validator("kernel")
    @classmethod
    def _one_frame(cls, kernel: Kernel) -> Kernel:
        if kernel[0] != 1:
            raise ValueError("banks hold slices of one frame (1, rows, columns)")
        return kernel

    @property
    def asks_no_weights(self) -> bool:
        """Whether all that is used of the banks is which views they keep: cameras decide that, not weights."""
        return self.rendered == "scenery" and self.shown == "history" and self.top_k == 0


class Archive(NamedTuple):
    """The archivist's slots: one view of the static world each.

    ``tokens``: slice tokens of clean latents. ``static``: how static each token is, 0 to 1. ``poses``, ``times``: of
    the camera that saw it. ``use``: what it has been good for lately (retrieval's softmax mass, decaying).
    """

    tokens: Float[Tensor, "b n p d"]
    static: Float[Tensor, "b n p"]
    poses: Float[Tensor, "b n 12"]
    times: Float[Tensor, "b n"]
    use: Float[Tensor, "b n"]
    filled: Bool[Tensor, "b n"]
    pinned: Bool[Tensor, "b n"]


class Tracks(NamedTuple):
    """The tracker's slots: one subject each, seen or not.

    ``tokens``: identity tokens on a grid over the subject's box. ``identity``: unit vector that tells it from others.
    ``position``: its origin (on the ground), ``velocity``. ``covariance``: of position and velocity along any one
    axis: variance of position, covariance, variance of velocity. ``turn_rate``: about the vertical. ``box``: centre x,
    y relative to the projected origin and half width, half height, in metres in the plane through the origin that
    faces the camera. ``visibility``: 0 to 1, how much of it was seen in the last frame; ``confidence``: 0 to 1, that it
    exists; ``last_seen``, ``born``: times. ``number``: counts subjects in the order of their births. ``filled``: the
    slot holds a subject; ``tentative``: it holds one that was not seen clearly enough yet to count as one, and is
    neither retrieved nor predicted. No slot is both.
    """

    tokens: Float[Tensor, "b s k d"]
    identity: Float[Tensor, "b s e"]
    position: Float[Tensor, "b s 3"]
    velocity: Float[Tensor, "b s 3"]
    covariance: Float[Tensor, "b s 3"]
    turn_rate: Float[Tensor, "b s"]
    box: Float[Tensor, "b s 4"]
    visibility: Float[Tensor, "b s"]
    confidence: Float[Tensor, "b s"]
    last_seen: Float[Tensor, "b s"]
    born: Float[Tensor, "b s"]
    number: Int[Tensor, "b s"]
    filled: Bool[Tensor, "b s"]
    tentative: Bool[Tensor, "b s"]
    pinned: Bool[Tensor, "b s"]

    @property
    def taken(self) -> Bool[Tensor, "b s"]:
        """Which slots are not empty: subjects, and those who may become one."""
        return self.filled | self.tentative


class Views(NamedTuple):
    """Pictures of the static world, one for each archive slot. ``static``: 255 surely static, 0 a subject. ``depth``:
    metres along the axis, 0 unknown. ``times``: video frames."""

    pixels: UInt8[Tensor, "b n 3 height width"]
    static: UInt8[Tensor, "b n height width"]
    poses: Float[Tensor, "b n 12"]
    intrinsics: Float[Tensor, "b n 4"]
    times: Float[Tensor, "b n"]
    filled: Bool[Tensor, "b n"]
    depth: Float[Tensor, "b n height width"] | None = None

    def at(self, index: Int[Tensor, "b k"]) -> "Views":
        """Take some slots of each clip."""
        kept = (None if part is None else entries_at(part, index) for part in self)
        return Views(*kept)  # type: ignore[arg-type]


class Cutouts(NamedTuple):
    """Pictures of s subjects from m sides each. ``pixels``: RGBA. ``box``: centre x, y relative to the projected
    origin, half width, half height: metres in the plane through the origin that faces the camera. ``side``: angle
    about the vertical from where the subject heads to where the camera stands, radians (0: seen from the front).
    ``quality``: 0 (nothing there) to 1."""

    pixels: UInt8[Tensor, "b s m 4 p p"]
    box: Float[Tensor, "b s m 4"]
    side: Float[Tensor, "b s m"]
    quality: Float[Tensor, "b s m"]


class Banks(NamedTuple):
    """Both banks at one moment. ``time``: of the last frame observed. ``births``: subjects born so far, also those
    that never came to count. ``views``, ``cutouts``: pictures of the archive's slots and of the subjects; ``None``
    where no pictures were shown."""

    archive: Archive
    tracks: Tracks
    time: Float[Tensor, " b"]
    births: Int[Tensor, " b"]
    views: Views | None = None
    cutouts: Cutouts | None = None


_PARTS: dict[str, Any] = {"archive": Archive, "tracks": Tracks, "views": Views, "cutouts": Cutouts}


class SceneReading(NamedTuple):
    """What the scene reader says of every video token of clean latent frames (h × w tokens a frame).

    ``dynamic``: logit that it shows a subject. ``distance``: log of metres from the camera to that subject.
    ``offset``: columns and rows, in tokens, from the token's middle to the subject's projected origin.
    ``identity``: unit vectors. ``clarity``: logit, how well it shows the subject (the merges' gate). ``noise``: log of
    the standard deviation, as a share of the distance, of the position that it tells.
    """

    dynamic: Float[Tensor, "b f h w"]
    distance: Float[Tensor, "b f h w"]
    offset: Float[Tensor, "b f h w 2"]
    identity: Float[Tensor, "b f h w e"]
    clarity: Float[Tensor, "b f h w"]
    noise: Float[Tensor, "b f h w"]


class RetrievedMemory(NamedTuple):
    """What a chunk retrieves: e tokens, ready to be made into keys and values.

    ``places``: time, row and column of each token for rotation (time in latent frames of the coming sequence; rows and
    columns in video tokens, any real number). ``poses``: the camera that each token is seen from, relative to the
    chunk's first camera; ``directions``, ``moments``: its ray's Plücker coordinates in the same frame. ``subjects``:
    tokens of the tracker (they are given once for every coming frame). ``scores``: softmax over both banks (n archive
    slots, then s subjects) for every coming frame. ``slots``: the slot of each token (n + i for subject i).
    ``frames``: the coming frame that a tracker's token is for; −1 for the archivist's.
    """

    tokens: Float[Tensor, "b e d"]
    known: Bool[Tensor, "b e"]
    places: Float[Tensor, "b e 3"]
    poses: Float[Tensor, "b e 12"]
    directions: Float[Tensor, "b e 3"]
    moments: Float[Tensor, "b e 3"]
    subjects: Bool[Tensor, "b e"]
    scores: Float[Tensor, "b t n_plus_s"]
    slots: Int[Tensor, "b e"]
    frames: Int[Tensor, "b e"]

    def by_token(self) -> dict[str, Tensor]:
        """Return what there is of each token: all but ``scores``."""
        return {name: value for name, value in self._asdict().items() if name != "scores"}


def empty_banks(
    settings: BankSettings, tokens_per_slice: int, dim: int, batch: int = 1, device: Any = None
) -> Banks:
    """Return banks that hold nothing yet; ``time`` is −1."""
    n, s, k = settings.archive_slots, settings.subject_slots, prod(settings.subject_grid)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(batch, *shape, device=device)

    def no(*shape: int) -> Tensor:
        return torch.zeros(batch, *shape, dtype=torch.bool, device=device)

    archive = Archive(
        tokens=zeros(n, tokens_per_slice, dim), static=zeros(n, tokens_per_slice), poses=zeros(n, 12), times=zeros(n),
        use=zeros(n), filled=no(n), pinned=no(n),
    )  # fmt: skip
    tracks = Tracks(
        tokens=zeros(s, k, dim), identity=zeros(s, settings.identity_width), position=zeros(s, 3),
        velocity=zeros(s, 3), covariance=zeros(s, 3), turn_rate=zeros(s), box=zeros(s, 4), visibility=zeros(s),
        confidence=zeros(s), last_seen=zeros(s), born=zeros(s), number=zeros(s).long(), filled=no(s),
        tentative=no(s), pinned=no(s),
    )  # fmt: skip
    return Banks(archive, tracks, zeros() - 1, zeros().long())


def bank_tensors(banks: Banks) -> dict[str, Tensor]:
    """Return every tensor by name (``archive.tokens``, ``tracks.position``, ``time``, ...), for a file."""
    named: dict[str, Tensor] = {}
    for kind in _PARTS:
        part = getattr(banks, kind)
        fields = {} if part is None else part._asdict()
        named |= {f"{kind}.{name}": value for name, value in fields.items() if value is not None}
    return named | {"time": banks.time, "births": banks.births}


def banks_from_tensors(tensors: dict[str, Tensor]) -> Banks:
    """Undo ``bank_tensors``. Raises ``InputError`` naming what is missing or does not belong."""
    has_pictures = any(name.startswith(("views.", "cutouts.")) for name in tensors)
    parts = {kind: _PARTS[kind] for kind in _PARTS if has_pictures or kind in ("archive", "tracks")}
    wanted = {f"{kind}.{name}" for kind, part in parts.items() for name in part._fields}
    wanted = (wanted | {"time", "births"}) - ({"views.depth"} - set(tensors))
    if odd := sorted(wanted ^ set(tensors)):
        raise InputError(
            f"these tensors are not the banks of a two-bank memory: {odd[0]} is missing or unknown"
        )
    made = {
        kind: part(**{name: tensors.get(f"{kind}.{name}") for name in part._fields})
        for kind, part in parts.items()
    }
    return Banks(**made, time=tensors["time"], births=tensors["births"])


def entries_at(values: Tensor, index: Int[Tensor, "b ..."]) -> Tensor:
    """Take each clip's own entries [b, ...] of values [b, n, ...]."""
    clips = torch.arange(len(index), device=index.device).view(-1, *[1] * (index.ndim - 1))
    return values[clips, index]


def by_slot(flags: Bool[Tensor, "..."], value: Tensor) -> Bool[Tensor, "..."]:
    """Give flags of slots as many axes as a value of theirs has."""
    return flags.view(*flags.shape, *[1] * (value.ndim - flags.ndim))


def first_of(chosen: Bool[Tensor, "b n"]) -> Int[Tensor, " b"]:
    """Return the first true column of each row; the last one where none is true."""
    places = torch.arange(chosen.shape[1], device=chosen.device)
    return torch.where(chosen, places, chosen.shape[1] - 1).amin(dim=1)


def surely_none(wanted: Bool[Tensor, "..."]) -> bool:
    """Tell whether nothing is wanted, so that work may be spared whose result would be the same without it.

    On the meta device, where costs are counted, nothing is known, and all work is done.
    """
    return not wanted.is_meta and not bool(wanted.any())


EDITED_STD_M = 0.1
"""Standard deviation of a position that was set by hand, metres; of a velocity, metres a video frame: a tenth of it."""

Touched = Archive | Tracks


def pin(banks: Banks, *, slot: int | None = None, subject: int | None = None, on: bool = True) -> Banks:
    """Keep an archive slot from being dropped, or a subject from dying; ``on`` false lets it go again."""
    return _put(banks, *_found(banks, slot, subject), pinned=on)


def forget(banks: Banks, *, slot: int | None = None, subject: int | None = None) -> Banks:
    """Empty an archive slot or a subject's, pinned or not."""
    bank, index = _found(banks, slot, subject)
    return _put(banks, bank, index, **dict.fromkeys(bank._fields, 0))


def edit_place(
    banks: Banks,
    slot: int,
    *,
    tokens: Float[Tensor, "p d"] | None = None,
    static: Float[Tensor, " p"] | None = None,
) -> Banks:
    """Change what an archive slot shows: its slice tokens, and how static each is (0 to 1)."""
    archive, index = _found(banks, slot, None)
    changes = _given(archive, tokens=tokens, static=static)
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
    """
    tracks, index = _found(banks, None, number)
    moved = {"position": position, "velocity": velocity, "turn_rate": turn_rate}
    changes = _given(tracks, **moved, tokens=tokens, identity=identity)
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
    """Let two subjects change places: each keeps who it is (tokens, identity, box) and goes on where the other was."""
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


def _given(bank: Touched, **values: Any) -> dict[str, Tensor]:
    """Turn what is to be changed into tensors that fit the slot."""
    changes = {}
    for name, value in values.items():
        if value is None:
            continue
        field = getattr(bank, name)
        tensor = torch.as_tensor(value, dtype=field.dtype, device=field.device)
        odd = "" if bool(tensor.isfinite().all()) else " with NaN or infinity among them"
        if odd or tensor.shape != field.shape[2:]:
            raise InputError(
                f"{name}: expected {list(field.shape[2:])} finite numbers, got {list(tensor.shape)}{odd}"
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
