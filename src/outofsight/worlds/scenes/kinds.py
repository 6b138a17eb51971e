"""The seventeen places: what they are called, how large their subjects are, and which lights they offer."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from outofsight.errors import WorldError

OUTDOOR_LIGHTS = ("noon", "morning", "golden hour", "overcast", "dusk", "night lamps")
WILD_LIGHTS = ("noon", "morning", "golden hour", "overcast", "dusk")
WINDOW_LIGHTS = ("daylight", "low sun", "overcast", "evening lamps")
HALL_LIGHTS = ("daylight", "white tubes", "evening lamps")


@dataclass(frozen=True, kw_only=True)
class SceneKind:
    """A place. ``noun`` goes into captions; ``held_out`` places appear in the test split alone.

    ``camera_height_m``: lowest and highest eye height that suits the place. ``subject_scale`` multiplies the size
    of subjects (1 life size, 0.1 toys on a table).
    """

    name: str
    noun: str
    indoors: bool
    lights: tuple[str, ...]
    camera_height_m: tuple[float, float] = (1.3, 2.0)
    subject_scale: float = 1.0
    held_out: bool = False


def _kind(
    name: str, noun: str, lights: tuple[str, ...], *, indoors: bool = False, held_out: bool = False
) -> SceneKind:
    return SceneKind(name=name, noun=noun, indoors=indoors, lights=lights, held_out=held_out)


_KINDS = (
    _kind("street", "a city street between brick and plaster houses", OUTDOOR_LIGHTS),
    _kind("plaza", "a paved plaza with a fountain", OUTDOOR_LIGHTS),
    _kind("park", "a park with lawns, gravel paths and tall trees", OUTDOOR_LIGHTS),
    _kind("car park", "a car park with marked bays and parked cars", OUTDOOR_LIGHTS),
    _kind("harbour", "a harbour quay with boats, cranes and containers", OUTDOOR_LIGHTS, held_out=True),
    _kind("rooftop", "a flat rooftop above the city", OUTDOOR_LIGHTS),
    _kind("warehouse", "a warehouse with high racks of boxes and crates", HALL_LIGHTS, indoors=True),
    _kind("office", "an open-plan office with desks and monitors", WINDOW_LIGHTS, indoors=True),
    _kind("living room", "a large living room with sofas and bookshelves", WINDOW_LIGHTS, indoors=True),
    _kind("museum", "a museum hall with paintings and statues", HALL_LIGHTS, indoors=True, held_out=True),
    _kind("shop", "a supermarket with shelves full of goods", HALL_LIGHTS, indoors=True),
    _kind("forest", "a forest clearing among tall trunks", WILD_LIGHTS),
    _kind("desert", "a desert with dunes, red rocks and cacti", WILD_LIGHTS),
    _kind("snow village", "a snow-covered mountain village", OUTDOOR_LIGHTS),
    _kind("farmyard", "a farmyard in front of a red barn", OUTDOOR_LIGHTS),
    _kind("playground", "a playground with swings and a slide", OUTDOOR_LIGHTS),
    SceneKind(
        name="table-top",
        noun="a robot's workbench, seen from table height",
        indoors=True,
        lights=WINDOW_LIGHTS,
        camera_height_m=(0.12, 0.22),
        subject_scale=0.1,
    ),
)


BUILT_IN_SCENES = tuple(kind.name for kind in _KINDS)
"""The places that worlds are drawn from where none are named; so a place of one's own changes no other world."""

_CATALOGUE = {kind.name: kind for kind in _KINDS}


def scene_catalogue() -> Mapping[str, SceneKind]:
    """All places by name, in a fixed order; those of one's own last."""
    return MappingProxyType(_CATALOGUE)


def add_kind(kind: SceneKind) -> None:
    """Add a place to the catalogue. Raises ``WorldError`` if the name is another's."""
    if _CATALOGUE.get(kind.name, kind) != kind:
        raise WorldError(f"scene {kind.name!r} is there already; choose another name")
    _CATALOGUE[kind.name] = kind
