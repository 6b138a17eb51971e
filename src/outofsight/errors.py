"""The one error family. The command line prints the message on one line and exits with code 2."""


class OutOfSightError(Exception):
    """Something the user can mend. The message says what was expected, what came and what to do."""


class InputError(OutOfSightError):
    """A file, an argument or a setting is not what it must be."""


class CameraError(InputError):
    """A camera path is missing frames, malformed, or not made of rotations."""


class VideoError(InputError):
    """A video is missing, damaged, too short or of the wrong size."""


class CheckpointError(InputError):
    """A checkpoint is truncated, unreadable, or belongs to another model."""


class OutputError(OutOfSightError):
    """A result could not be written; nothing half-written was left behind."""


class WorldError(InputError):
    """A world was asked for that cannot be built."""


class DatasetError(InputError):
    """A data-set folder or one of its files is damaged or incomplete."""


def first_line(error: BaseException) -> str:
    """Take the first line of an error's text, or its type where it has none: messages here are one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
