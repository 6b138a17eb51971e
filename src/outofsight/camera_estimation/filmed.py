"""What a phone's file says of itself that matters to whoever estimates its cameras."""

from pathlib import Path

import av

from outofsight.data.video import video_facts
from outofsight.errors import VideoError

HDR_CURVES = {16: "PQ", 18: "HLG"}
"""FFmpeg's numbers of transfer curves that screens without HDR show too pale."""


def notes_on_file(path: Path) -> list[str]:
    """Say what is unusual about a video: turned, of varying rate, HDR, odd in size. Raises ``VideoError``."""
    facts = video_facts(path)
    notes = []
    try:
        with path.open("rb") as file, av.open(file, "r") as container:
            frame = next(container.decode(video=0))
            curve, rotation = int(frame.color_trc), int(frame.rotation)
    except (av.FFmpegError, StopIteration, OSError) as error:
        raise VideoError(f"{path}: damaged, cut short or not a video: {error}") from error
    if rotation:
        notes.append(f"is filmed turned by {abs(rotation)}°, and read upright")
    if facts.varies:
        notes.append(
            f"shows frames of varying length ({facts.fps:.4g} a second in the mean); each gets one camera"
        )
    if curve in HDR_CURVES:
        notes.append(
            f"is HDR ({HDR_CURVES[curve]}): its colours are read as they are, too pale; convert it to SDR for a model"
        )
    if facts.height % 2 or facts.width % 2:
        notes.append(f"has an odd size ({facts.height}×{facts.width}); --size of generate crops it")
    return [f"{path.name} {note}" for note in notes]
