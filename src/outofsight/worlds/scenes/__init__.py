"""Seventeen places, laid out from a seed and handed to MuJoCo."""

from outofsight.worlds.scenes.build import add_scene
from outofsight.worlds.scenes.kinds import BUILT_IN_SCENES, SceneKind, scene_catalogue
from outofsight.worlds.scenes.layout import Light, Material, Obstacle, Part, SceneLayout
from outofsight.worlds.scenes.places import Drawer, lay_out, own_drawers, register_scene

__all__ = [
    "BUILT_IN_SCENES",
    "Drawer",
    "Light",
    "Material",
    "Obstacle",
    "Part",
    "SceneKind",
    "SceneLayout",
    "add_scene",
    "lay_out",
    "own_drawers",
    "register_scene",
    "scene_catalogue",
]
