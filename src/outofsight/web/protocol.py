"""Every message between the page and the server, both ways, and the version of them all.

Up come JSON texts. Down come JSON texts and **pictures**: a binary message of 4 bytes (length of the header, big
endian), the header as JSON, and a JPEG. The page's own list of field names (``page/messages.js``) is checked against
these models by a test.
"""

import json
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from outofsight.errors import InputError

VERSION = 2
MAX_MESSAGE_BYTES = 16 * 1024
"""Of one message from a page; the longest true one, a caption, is a tenth of it."""

Share = Annotated[float, Field(ge=-1, le=1)]
PaneNumber = Annotated[int, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=60)]
Step = Annotated[int, Field(ge=0, le=10**9)]
Number = Annotated[int, Field(ge=0, le=10**9)]
Metres = Annotated[float, Field(ge=-1e4, le=1e4)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{22}$")]
"""Of a session or of a saved walk: 128 bits that nobody guesses, safe as the name of a folder."""


class Message(BaseModel):
    """Frozen, without unknown fields, without NaN; a text is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Hello(Message):
    """The greeting: the first message of every page. ``session``: one to go on with, or ``None``."""

    kind: Literal["hello"]
    version: int
    session: Id | None = None


class Look(Message):
    """How the camera is to move from now on, each as a share of full speed; ``yaw_deg`` and ``pitch_deg``: by how much
    to turn once (mouse). ``number``: counts these messages, and comes back with the frames that heed it."""

    kind: Literal["look"]
    number: Number
    yaw: Share = 0.0
    pitch: Share = 0.0
    forward: Share = 0.0
    right: Share = 0.0
    up: Share = 0.0
    yaw_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    pitch_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0


class Pause(Message):
    """Stop the world's time, or let it go on."""

    kind: Literal["pause"]
    on: bool


class Prompt(Message):
    """Another caption, from the next step on."""

    kind: Literal["prompt"]
    text: Annotated[str, Field(min_length=1, max_length=1000)]


class Touch(Message):
    """Names an archive slot or a subject of a pane: one of both."""

    pane: PaneNumber = 0
    slot: Number | None = None
    subject: Number | None = None

    @model_validator(mode="after")
    def _one(self) -> "Touch":
        if (self.slot is None) == (self.subject is None):
            raise ValueError("name a slot or a subject, one of both")
        return self


class Pin(Touch):
    """Keep a place or a subject, or let it go again."""

    kind: Literal["pin"]
    on: bool = True


class Forget(Touch):
    """Empty a slot."""

    kind: Literal["forget"]


class Edit(Message):
    """Put a subject elsewhere on the ground, where it stands still until it is seen."""

    kind: Literal["edit"]
    pane: PaneNumber = 0
    subject: Number
    x_m: Metres
    y_m: Metres


class Rewind(Message):
    """Go back to the moment after ``step`` steps."""

    kind: Literal["rewind"]
    pane: PaneNumber = 0
    step: Step


class Fork(Message):
    """Open a second pane at the moment after ``step`` steps, which then goes its own way."""

    kind: Literal["fork"]
    step: Step


class CompareStrategy(Message):
    """Open a second pane that walks along and remembers by another strategy; ``None`` closes the second pane."""

    kind: Literal["strategy"]
    name: Name | None


class Focus(Message):
    """Which of two panes the keys move."""

    kind: Literal["focus"]
    pane: PaneNumber


class ShowViews(Message):
    """Which views are wanted beside the picture."""

    kind: Literal["views"]
    truth: bool
    rendered: bool


class Save(Message):
    """Keep the walk as it stands, under a name."""

    kind: Literal["save"]
    name: Name


class Load(Message):
    """Go on with a saved walk."""

    kind: Literal["load"]
    saved: Id


class Begin(Message):
    """Begin anew in a world of the engine. What is ``None`` or empty is drawn from the seed."""

    kind: Literal["begin"]
    seed: Annotated[int, Field(ge=0, lt=10**6)]
    scene: Name | None = None
    light: Name | None = None
    subjects: Annotated[tuple[Name, ...], Field(max_length=49)] = ()
    num_subjects: Annotated[int, Field(ge=1, le=4)] = 1
    sheds: bool = False


Up = Annotated[
    Hello | Look | Pause | Prompt | Pin | Forget | Edit | Rewind | Fork | CompareStrategy | Focus | ShowViews | Save
    | Load | Begin,
    Field(discriminator="kind"),
]  # fmt: skip
_UP: TypeAdapter[Any] = TypeAdapter(Up)


class Limits(Message):
    """How fast a full key moves, and how many steps can be taken back."""

    turn_deg_s: float
    move_m_s: float
    keep_steps: int
    upload_bytes: int


class Choices(Message):
    """What scenes can be asked for. ``lights``: of each scene; ``known``: names that the model's training knew."""

    scenes: dict[str, str]
    lights: dict[str, list[str]]
    subjects: dict[str, str]
    known: list[str]
    sheds: list[str]


class Welcome(Message):
    """The answer to the greeting."""

    kind: Literal["welcome"] = "welcome"
    version: int = VERSION
    session: str
    model: str
    strategies: dict[str, str]
    limits: Limits
    choices: Choices | None


class PaneStatus(Message):
    """One pane: ``linked`` walks along with the other; ``note``: what its memory is, where it has no banks."""

    strategy: str
    linked: bool
    step: int
    num_frames: int
    note: str


class Status(Message):
    """Where a session stands. ``doing``: what takes long now, in words, or nothing. ``seconds``: of the last step by
    stage; ``frames_a_second``: that the model makes (0: not known yet)."""

    kind: Literal["status"] = "status"
    walking: bool
    doing: str
    focus: int
    panes: list[PaneStatus]
    prompt: str
    world: str
    seed: int | None
    fps: float
    fov_deg: float
    frames_a_second: float
    seconds: dict[str, float]
    truth: bool
    rendered: bool
    has_truth: bool
    has_rendered: bool


class Subject(Message):
    """A subject that is remembered. Places in the world's metres, z up; velocity in metres a second."""

    number: int
    x_m: float
    y_m: float
    vx_m_s: float
    vy_m_s: float
    spread_m: float
    confidence: float
    unseen_s: float
    seen: bool
    pinned: bool
    retrieved: bool
    picture: str | None


class View(Message):
    """A view that the archive keeps: where its camera stood and looked (radians, 0 along x, left positive)."""

    slot: int
    x_m: float
    y_m: float
    heading: float
    age_s: float
    use: float
    pinned: bool
    retrieved: bool
    picture: str | None


class TrueSubject(Message):
    """Where a subject truly is."""

    name: str
    x_m: float
    y_m: float
    in_view: bool


class Camera(Message):
    """Where the camera stands and looks."""

    x_m: float
    y_m: float
    z_m: float
    heading: float
    pitch: float


class Memory(Message):
    """What a pane remembers after a step. ``frame``: the last one that it is of."""

    kind: Literal["memory"] = "memory"
    pane: int
    step: int
    frame: int
    camera: Camera
    subjects: list[Subject]
    views: list[View]
    truth: list[TrueSubject]


class Moment(Message):
    """A step of the timeline. ``caption``: where another one came into force; ``x_m`` ...: its last camera."""

    step: int
    frame: int
    picture: str
    caption: str | None
    x_m: float
    y_m: float


class Timeline(Message):
    """The steps of a pane that are known; from ``first_kept`` on they can be gone back to."""

    kind: Literal["timeline"] = "timeline"
    pane: int
    moments: list[Moment]
    first_kept: int


class SavedWalk(Message):
    """A walk on the disk."""

    id: str
    name: str
    world: str
    strategy: str
    num_frames: int
    fps: float
    date: str


class Saves(Message):
    """All saved walks, newest first."""

    kind: Literal["saves"] = "saves"
    walks: list[SavedWalk]


class Cleared(Message):
    """A pane shows another past from now on: forget its frames, trails and timeline. ``open``: whether it is there."""

    kind: Literal["cleared"] = "cleared"
    pane: int
    open: bool
    frame: int


class Error(Message):
    """Something that was asked for could not be done: one line."""

    kind: Literal["error"] = "error"
    line: str


def in_one_line(line: str) -> Error:
    """Tell what went wrong, cut to what a page has room for."""
    return Error(line=" ".join(line.split())[:300])


class Busy(Message):
    """How many pages wait for their walk to be made ready, this one among them."""

    kind: Literal["busy"] = "busy"
    queue: int


class FrameHeader(Message):
    """Goes before a frame's JPEG. ``view``: model, truth or rendered; ``frame``: counted from the first shown (those of
    the context are below 0); ``heeds``: the ``look`` that moved it; ``last``: the step's last frame."""

    kind: Literal["frame"] = "frame"
    pane: int
    view: Literal["model", "truth", "rendered"]
    step: int
    frame: int
    heeds: int
    last: bool
    pose: list[float]


class PictureHeader(Message):
    """Goes before a small JPEG that other messages of its pane name."""

    kind: Literal["picture"] = "picture"
    pane: int
    id: str


_DOWN = (Welcome, Status, Memory, Timeline, Saves, Cleared, Error, Busy, FrameHeader, PictureHeader)
DOWN: Mapping[str, type[Message]] = MappingProxyType(
    {model.model_fields["kind"].default: model for model in _DOWN}
)


def read_up(text: str | bytes) -> Any:
    """Read a message from a page.

    Raises:
        InputError: no JSON, an unknown kind, or a field that is missing, unknown or out of range.
    """
    try:
        return _UP.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise InputError(f"{where}: {first['msg']}"[:200]) from error
    except (ValueError, RecursionError) as error:
        raise InputError("expected a message as JSON text") from error


def to_text(message: Message) -> str:
    """Write a message down as JSON."""
    return message.model_dump_json()


def with_picture(header: Message, jpeg: bytes) -> bytes:
    """Join a header and its JPEG into one binary message."""
    text = to_text(header).encode()
    return struct.pack(">I", len(text)) + text + jpeg


def frame_message(jpeg: bytes, pose: NDArray[np.float64], **facts: Any) -> bytes:
    """Join a frame with what it shows. ``pose`` [3, 4]: of its camera; ``facts``: other fields of ``FrameHeader``."""
    return with_picture(FrameHeader(pose=pose.reshape(-1).round(4).tolist(), **facts), jpeg)


def split_picture(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Undo ``with_picture``."""
    (length,) = struct.unpack(">I", content[:4])
    return json.loads(content[4 : 4 + length]), content[4 + length :]
