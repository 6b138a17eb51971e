"""Everything a person can wear or carry, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from outofsight.errors import WorldError
from outofsight.worlds.subjects.carried import CARRIED
from outofsight.worlds.subjects.garments import GARMENTS
from outofsight.worlds.subjects.headwear import HEADWEAR
from outofsight.worlds.subjects.measures import Frame, Part, PersonPlan, Worn

PARTS: Mapping[str, Part] = MappingProxyType({**HEADWEAR, **GARMENTS, **CARRIED})


def wear(part: str, frame: Frame, plan: PersonPlan) -> Worn:
    """Give the shapes of a part by bone. Raises: WorldError for an unknown part."""
    if part not in PARTS:
        raise WorldError(f"unknown part {part!r}; known parts are {', '.join(PARTS)}")
    return PARTS[part](frame, plan)
