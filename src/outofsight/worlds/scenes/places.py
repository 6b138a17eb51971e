"""From a place's name to its layout."""

from collections.abc import Callable, Iterable

from outofsight.errors import WorldError
from outofsight.worlds.scenes import (
    city,
    farmyard,
    green,
    halls,
    harbour,
    homes,
    playground,
    rooftop,
    snow_village,
    table,
    warehouse,
)
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.kinds import BUILT_IN_SCENES, SceneKind, add_kind, scene_catalogue
from outofsight.worlds.scenes.layout import SceneLayout

Drawer = Callable[[SceneKind, int, str], Draft]

_DRAWERS: dict[str, Drawer] = {
    "street": city.street,
    "plaza": city.plaza,
    "car park": city.car_park,
    "harbour": harbour.harbour,
    "rooftop": rooftop.rooftop,
    "snow village": snow_village.snow_village,
    "warehouse": warehouse.warehouse,
    "museum": halls.museum,
    "shop": halls.shop,
    "office": homes.office,
    "living room": homes.living_room,
    "table-top": table.table_top,
    "farmyard": farmyard.farmyard,
    "park": green.park,
    "playground": playground.playground,
    "forest": green.forest,
    "desert": green.desert,
}


def register_scene(kind: SceneKind, drawer: Drawer) -> None:
    """Make a place of one's own known by name; worlds have it where they name it (``PlanConfig.scenes``).

    Raises:
        WorldError: the name is another's.
    """
    if _DRAWERS.get(kind.name, drawer) is not drawer:
        raise WorldError(f"scene {kind.name!r} is there already; choose another name")
    add_kind(kind)
    _DRAWERS[kind.name] = drawer


def own_drawers(scenes: Iterable[str]) -> tuple[Drawer, ...]:
    """Return what draws those of the places that are no part of the package."""
    return tuple(_DRAWERS[name] for name in scenes if name not in BUILT_IN_SCENES)


def lay_out(scene: str, layout_seed: int, light: str) -> SceneLayout:
    """Lay out a place. The same seed gives the same place in every light mood.

    Raises ``WorldError`` for an unknown scene, a negative seed, or a light mood the place does not offer.
    """
    catalogue = scene_catalogue()
    if scene not in catalogue:
        raise WorldError(f"scene: expected one of {', '.join(catalogue)}; got {scene!r}")
    kind = catalogue[scene]
    if light not in kind.lights:
        raise WorldError(f"scene {scene!r}: expected a light of {', '.join(kind.lights)}; got {light!r}")
    if layout_seed < 0:
        raise WorldError(f"scene {scene!r}: expected a layout seed of 0 or more, got {layout_seed}")
    return _DRAWERS[scene](kind, layout_seed, light).finish()
