"""What a page is told of a session, as messages."""

from math import degrees
from typing import TYPE_CHECKING

from outofsight.web import protocol
from outofsight.web.pane import Pane
from outofsight.web.store import WalkStore

if TYPE_CHECKING:
    from outofsight.web.session import Session


def status_of(session: "Session") -> protocol.Status:
    """Say where a session stands."""
    walk = session.walk
    scene = walk.scene
    record = walk.main.rollout.records[-1] if walk.panes and walk.main.rollout.records else None
    return protocol.Status(
        walking=session.walking,
        doing=session.doing or _crowd(session),
        focus=walk.focus,
        panes=[
            protocol.PaneStatus(
                strategy=pane.strategy, linked=pane.linked, step=pane.rollout.num_steps,
                num_frames=pane.rollout.num_frames, note=pane.note,
            )
            for pane in walk.panes
        ],
        prompt=walk.main.rollout.prompt if walk.panes else "",
        world="" if scene is None else scene.name,
        seed=None if scene is None else scene.seed,
        fps=10.0 if scene is None else scene.fps,
        fov_deg=degrees(walk.main.fov_x_rad) if walk.panes else session.house.mind.fov_deg,
        frames_a_second=round(session.frames_a_second, 2),
        seconds={} if record is None else {stage: round(value, 4) for stage, value in record.seconds.items()},
        truth=session.views.truth,
        rendered=session.views.rendered,
        has_truth=scene is not None and scene.spec is not None and session.house.plan is not None,
        has_rendered=any(pane.has_rendered for pane in walk.panes),
    )  # fmt: skip


def timeline_of(pane: Pane) -> protocol.Timeline:
    """Tell of the steps that can be gone back to."""
    return protocol.Timeline(pane=pane.number, moments=list(pane.moments), first_kept=pane.first_kept)


def pictures_of(pane: Pane) -> set[str]:
    """Name the thumbnails that timeline, shelf and map show now."""
    memory = pane.memory()
    shown = {view.picture for view in memory.views} | {subject.picture for subject in memory.subjects}
    shown |= {moment.picture for moment in pane.moments}
    return {name for name in shown if name is not None and name in pane.pictures}


def saves_of(store: WalkStore) -> protocol.Saves:
    """Tell of all saved walks."""
    return protocol.Saves(
        walks=[
            protocol.SavedWalk(
                id=about["id"], name=str(about.get("name", "")), world=str(about.get("world", "")),
                strategy=str(about.get("strategy", "")), num_frames=int(about.get("num_frames", 0)),
                fps=float(about.get("fps", 10.0)), date=str(about.get("date", "")),
            )
            for about in store.saves()
        ]
    )  # fmt: skip


def _crowd(session: "Session") -> str:
    waiting = session.house.engine.waiting
    return f"{waiting} walks share the model" if session.walking and waiting > 2 else ""
