"""What worlds a planner may draw."""

from dataclasses import dataclass

from outofsight.errors import WorldError
from outofsight.worlds.cameras import camera_trajectories
from outofsight.worlds.events import ReentryRule
from outofsight.worlds.paths import subject_paths
from outofsight.worlds.scenes import scene_catalogue
from outofsight.worlds.spec import MAX_SUBJECTS
from outofsight.worlds.subjects import subject_catalogue


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """What worlds to draw. Empty ``scenes``, ``lights``, ``kinds``, ``trajectories`` or ``paths`` mean all there are.

    ``lights``: a scene is lit by those of its own lights that are named here, and must have one.

    ``max_turn_deg_per_frame``: fastest pan at ``fps``; ``shed_share``: share of clips in which, where it can be, a
    coat or hat comes off unseen; ``max_attempts``: draws before giving up.
    """

    scenes: tuple[str, ...] = ()
    lights: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    trajectories: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    min_subjects: int = 1
    max_subjects: int = 3
    num_context_frames: int = 77
    num_target_frames: int = 77
    fps: float = 15.0
    height_px: int = 96
    width_px: int = 160
    min_hidden_frames: int = 8
    min_seen_frames: int = 6
    max_turn_deg_per_frame: float = 3.0
    shed_share: float = 0.15
    max_attempts: int = 1500

    def __post_init__(self) -> None:
        if not 1 <= self.min_subjects <= self.max_subjects <= MAX_SUBJECTS:
            raise WorldError(
                f"subjects: expected 1 ≤ least ≤ most ≤ {MAX_SUBJECTS}, got {self.min_subjects} to {self.max_subjects}"
            )
        if min(self.num_context_frames, self.num_target_frames) < 1:
            raise WorldError(
                f"frames: expected ≥ 1 of context and of target, got {self.num_context_frames} and "
                f"{self.num_target_frames}"
            )
        seen, hidden = self.min_seen_frames, self.min_hidden_frames
        halves = (self.num_context_frames, self.num_target_frames)
        if min(halves) < seen or sum(halves) < 2 * seen + hidden:
            raise WorldError(
                f"frames: seen for {seen}, hidden for {hidden} and seen again for {seen} need ≥ {2 * seen + hidden} "
                f"frames, {seen} of them context and {seen} target, got {halves[0]} and {halves[1]}"
            )
        for what, asked, known in (
            ("scene", self.scenes, scene_catalogue()),
            (
                "light",
                self.lights,
                sorted({light for scene in scene_catalogue().values() for light in scene.lights}),
            ),
            ("subject", self.kinds, subject_catalogue()),
            ("camera trajectory", self.trajectories, camera_trajectories()),
            ("subject path", self.paths, subject_paths()),
        ):
            for name in asked:
                if name not in known:
                    raise WorldError(f"unknown {what} {name!r}; known are {', '.join(known)}")

    @property
    def num_frames(self) -> int:
        return self.num_context_frames + self.num_target_frames

    @property
    def rule(self) -> ReentryRule:
        return ReentryRule(
            num_context_frames=self.num_context_frames,
            min_hidden_frames=self.min_hidden_frames,
            min_seen_frames=self.min_seen_frames,
        )
