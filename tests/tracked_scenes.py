"""Subjects on straight ways before a turning camera, and what a tracker makes of true readings of them."""

import torch

from models import lens
from outofsight.memory.banks.scene_reader import frame_of, reading_from_truth, shares_of_boxes
from outofsight.memory.banks.sighting import FrameSeen
from outofsight.memory.banks.state import BankSettings, Tracks, empty_banks
from outofsight.memory.banks.tracker import Tracker

SIZE = (4, 6)
LENS = lens(78, *SIZE)
DIM = 5
FRAMES_APART = 4
SETTINGS = BankSettings(identity_width=8)
BOX = (0.0, -1.0, 1.0, 1.0)
"""Every subject is 2 m wide and high, its origin at the middle of its feet."""


def straight(start: tuple[float, ...], velocity: tuple[float, ...], frames: int) -> torch.Tensor:
    """Positions [f, 3] at times 0, 4, 8, ..., moving by ``velocity`` metres a video frame."""
    times = torch.arange(frames)[:, None] * FRAMES_APART
    return torch.tensor(start) + times * torch.tensor(velocity)


def unit(index: int, width: int = SETTINGS.identity_width) -> torch.Tensor:
    """An identity that has nothing in common with another index's."""
    return torch.nn.functional.one_hot(torch.tensor(index), width).float()


def turned(*degrees: float) -> torch.Tensor:
    """Poses [1, f, 12] of a camera that stands still and is turned to the right by so much in each frame."""
    angle = torch.tensor(degrees) * torch.pi / 180
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    across = (angle.cos(), zero, angle.sin(), zero)
    along = (-angle.sin(), zero, angle.cos(), zero)
    return torch.stack((*across, zero, one, zero, zero, *along), dim=-1)[None]


class Scene:
    """Subjects at ``positions`` [s, f, 3] with ``identities`` [s, f, e], seen by a camera turned by ``degrees``."""

    def __init__(self, positions, identities, degrees, noise: float = 0.01) -> None:
        self.positions = torch.stack(list(positions))[None]
        frames = self.positions.shape[2]
        reported = [
            identity if identity.ndim == 2 else identity.expand(frames, -1) for identity in identities
        ]
        self.poses = turned(*degrees)
        box = torch.tensor(BOX).expand(1, self.positions.shape[1], 4)
        self.shares = shares_of_boxes(self.positions, box, self.poses, SIZE, LENS)
        self.reading = reading_from_truth(
            self.positions, torch.stack(reported)[None], self.shares, self.poses, LENS, noise=noise
        )
        self.times = torch.arange(frames).float() * FRAMES_APART

    def frame(self, index: int, tokens: torch.Tensor | None = None) -> FrameSeen:
        if tokens is None:
            tokens = torch.zeros(1, SIZE[0] * SIZE[1], DIM)
        reading, time = frame_of(self.reading, index), self.times[index][None]
        return FrameSeen(tokens, reading, self.poses[:, index], time, LENS)

    def tracked(
        self, tracker: Tracker, tokens: torch.Tensor | None = None, *, learning: bool = False
    ) -> list[Tracks]:
        """Observe all frames; give the subjects after each. ``learning``: keep gradients."""
        with torch.set_grad_enabled(learning):
            return self._tracked(tracker, tokens)

    def _tracked(self, tracker: Tracker, tokens: torch.Tensor | None) -> list[Tracks]:
        tracks, births, before, states = *nobody(tracker.settings), torch.full((1,), -1.0), []
        for index in range(len(self.times)):
            tracks, births, _ = tracker.update(tracks, births, self.frame(index, tokens), before)
            before = self.times[index][None]
            states.append(tracks)
        return states


def tracker(settings: BankSettings = SETTINGS) -> Tracker:
    return Tracker(settings)


def nobody(settings: BankSettings = SETTINGS) -> tuple[Tracks, torch.Tensor]:
    banks = empty_banks(settings, 24, DIM)
    return banks.tracks, banks.births


def standing(settings: BankSettings = SETTINGS, **changes) -> Tracks:
    """One slot for each given value, all filled; the rest empty."""
    tracks, _ = nobody(settings)
    count = len(next(iter(changes.values())))
    given = {"filled": [True] * count, "number": list(range(count)), "confidence": [1.0] * count, **changes}
    for name, values in given.items():
        field = getattr(tracks, name).clone()
        field[0, :count] = torch.as_tensor(values, dtype=field.dtype)
        tracks = tracks._replace(**{name: field})
    return tracks
