"""What is written down for each method and clip, so that a stopped evaluation goes on where it was.

::

    OUT/records/METHOD/method.json          all that decides its answers
    OUT/records/METHOD/CLIP.json               the metrics, or the reasons why there are none
    OUT/records/METHOD/CLIP.mp4                the target frames, lossless (models and VAE round trips)
    OUT/records/METHOD/CLIP.retrieval.safetensors
    OUT/records/METHOD/CLIP.tracked.safetensors     what the tracker held, of models that have one

Videos are kept without loss, so that a metric added later judges the same pixels. The JSON is written last: a clip
is done if it is there, and was made from what would make it now.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass as validated_dataclass

from outofsight.errors import OutputError
from outofsight.files import explained, write_json

FORMAT = 1
EARLIER_NAME = "contender.json"  # of method.json, until November 2026


@validated_dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one method's answer to one clip.

    ``made_by``, ``measured_by``: digests of what made the video, and of what measured it. ``refused``: why there is no
    answer. ``values``: the metrics that have a number; ``reasons``: why the others have none. ``psnr_by_frame``: dB,
    one a target frame. ``seconds`` by stage, without loading. ``peak_bytes``: the most memory held until then, of the
    process and of the GPU. ``video_seconds``: how long the target frames are shown.
    """

    made_by: str
    measured_by: str
    refused: str | None = None
    values: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    psnr_by_frame: tuple[float, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    video_seconds: float = 0.0

    def value(self, metric: str) -> float | None:
        """Give a metric's number; ``None`` where it could not be computed."""
        return self.values.get(metric)

    def reason(self, metric: str) -> str | None:
        """Say why a metric has no number; ``None`` where it has one."""
        if metric in self.values:
            return None
        return self.reasons.get(metric) or self.refused or "not measured"


@dataclass(frozen=True)
class RecordStore:
    """The records of an evaluation's folder."""

    out: Path

    def folder(self, method: str) -> Path:
        return self.out / "records" / method

    def video(self, method: str, clip: str) -> Path:
        return self.folder(method) / f"{clip}.mp4"

    def retrieval(self, method: str, clip: str) -> Path:
        return self.folder(method) / f"{clip}.retrieval.safetensors"

    def tracked(self, method: str, clip: str) -> Path:
        return self.folder(method) / f"{clip}.tracked.safetensors"

    def read(self, method: str, clip: str) -> Record | None:
        """Read a clip's record; ``None`` if there is none that can be read: it is then made again."""
        try:
            content = json.loads((self.folder(method) / f"{clip}.json").read_bytes())
            return Record(**content) if content.pop("format") == FORMAT else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, method: str, clip: str, record: Record) -> None:
        """Write a clip's record, all or nothing. Raises ``OutputError``."""
        write_json(self.folder(method) / f"{clip}.json", {"format": FORMAT, **asdict(record)})

    def check_claim(self, method: str, settings: Mapping[str, Any]) -> None:
        """Refuse a method of a name that stands for another here. Raises ``OutputError``."""
        wanted, there = in_earlier_words(json.loads(json.dumps(settings))), self._claimed(method)
        if there is not None and there != wanted:
            keys = sorted(key for key in {*there, *wanted} if there.get(key) != wanted.get(key))
            raise OutputError(
                f"{self.out}: holds answers of {method!r} made with another {', '.join(keys)}; choose another "
                "--out, name this method otherwise, or --overwrite"
            )

    def claim(self, method: str, settings: Mapping[str, Any]) -> None:
        """Note what a method is. Raises ``OutputError``."""
        path = self.folder(method) / "method.json"
        wanted = json.loads(json.dumps(settings))
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or self._claimed(method) != in_earlier_words(wanted):
            write_json(path, wanted, indent=2)

    def _claimed(self, method: str) -> dict[str, Any] | None:
        try:
            path = self.folder(method) / "method.json"
            path = path if path.exists() else path.with_name(EARLIER_NAME)
            there = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return in_earlier_words(there) if isinstance(there, dict) else None


def in_earlier_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give a method's settings as folders of before November 2026 have them: what was answered then stays answered."""
    earlier = {"baseline": "floor", "upper bound": "ceiling"}
    return {
        earlier.get(key, key): earlier.get(value, value) if key == "kind" else value
        for key, value in settings.items()
    }


def digest_of(*parts: Any) -> str:
    """Digest what JSON can hold: 16 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
