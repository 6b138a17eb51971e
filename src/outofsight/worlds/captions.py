"""Captions from the truth: scene, light, subjects, what they do, and what the camera does, in several phrasings."""

from collections.abc import Sequence

from outofsight.worlds.cameras import camera_kind
from outofsight.worlds.model import World
from outofsight.worlds.paths import path_kind
from outofsight.worlds.scenes import scene_catalogue
from outofsight.worlds.spec import SubjectSpec
from outofsight.worlds.subjects import SubjectKind

LIGHT_PHRASES = {
    "noon": "at noon",
    "morning": "in the morning light",
    "golden hour": "in the golden light of evening",
    "overcast": "under an overcast sky",
    "dusk": "at dusk",
    "night lamps": "at night under lamps",
    "daylight": "in daylight",
    "low sun": "in low sunlight",
    "evening lamps": "by lamplight in the evening",
    "white tubes": "under white tube lights",
}
NUM_PHRASINGS = 4


def light_phrase(light: str) -> str:
    """Say when or by what light a scene is seen."""
    return LIGHT_PHRASES.get(light, f"in {light} light")


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def action_of(subject: SubjectSpec, kind: SubjectKind, scale: float) -> str:
    """Say what a subject does: its own verb for the pace, and its path."""
    halfway = (kind.walk_speed_m_s + kind.run_speed_m_s) / 2 * scale
    idle, walking, running = kind.actions
    if subject.path.speed_m_s <= 0.02 * scale:
        return idle
    verb = running if subject.path.speed_m_s > halfway else walking
    return f"{verb} {path_kind(subject.path.name).noun}"


def captions(world: World) -> tuple[str, ...]:
    """Give ``NUM_PHRASINGS`` captions of a world; which comes first follows from the spec's seed."""
    spec, scale = world.spec, world.layout.subject_scale
    place = scene_catalogue()[spec.scene].noun
    light = light_phrase(spec.light)
    nouns = [subject.before.noun for subject in world.subjects]
    deeds = [
        f"{subject.before.noun} {action_of(described, subject.kind, scale)}"
        for described, subject in zip(spec.subjects, world.subjects, strict=True)
    ]
    kind = camera_kind(spec.camera.trajectory)
    followed = nouns[spec.camera.follows] if spec.camera.follows is not None else ""
    camera = kind.noun.format(subject=followed)
    phrasings = (
        f"{_sentence(_joined(deeds))} in {place} {light}. The camera {camera}.",
        f"{_sentence(light)}, in {place}: {_joined(deeds)}. The camera {camera}.",
        f"The video shows {place} {light}. There we see {_joined(deeds)}. The camera {camera}.",
        f"The camera {camera} in {place} {light}, where {_joined(deeds)} can be seen.",
    )
    first = spec.seed % NUM_PHRASINGS
    return phrasings[first:] + phrasings[:first]
