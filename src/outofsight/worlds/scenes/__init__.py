"""Seventeen places, laid out from a seed and handed to MuJoCo."""

from outofsight.worlds.scenes.build import add_scene
from outofsight.worlds.scenes.kinds import SceneKind, scene_catalogue
from outofsight.worlds.scenes.layout import Light, Material, Obstacle, Part, SceneLayout
from outofsight.worlds.scenes.places import lay_out

__all__ = [
    "Light",
    "Material",
    "Obstacle",
    "Part",
    "SceneKind",
    "SceneLayout",
    "add_scene",
    "lay_out",
    "scene_catalogue",
]
