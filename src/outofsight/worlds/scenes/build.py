"""From a layout to MuJoCo: a mesh for each part, materials, textures, lights and the sky."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from outofsight.worlds.scenes.layout import Light, Material, SceneLayout
from outofsight.worlds.scenes.mesh import Mesh

_PALETTE = "scene/palette"
EXTENT_M = 10.0
NEAR_M, FAR_M = 0.02, 600.0
SHADOW_REACH_M = 45.0


def add_scene(spec: mujoco.MjSpec, layout: SceneLayout) -> None:
    """Add a layout to a model: a geom on the world body for each part, named ``scene/3 bench``, without collisions.

    Parts are not merged, since a ray pays for every box it crosses: meshes spread over the place halved the speed.
    The headlight is switched off: a layout brings all its light.
    """
    spec.visual.headlight.active = 0
    _fix_extent(spec)
    _add_texture(spec, "scene/sky", layout.sky, mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    for name, image in layout.textures.items():
        _add_texture(spec, f"scene/{name}", image)
    palette, keys = _palette(layout)
    _add_texture(spec, _PALETTE, palette)
    materials = {
        material: f"scene/material {k}"
        for k, material in enumerate(dict.fromkeys(p.material for p in layout.parts))
    }
    for material, name in materials.items():
        _add_material(spec, name, material)
    for index, part in enumerate(layout.parts):
        if part.colours is None:
            surface = part.mesh.texcoords / part.material.tile_m
        else:
            surface = _palette_texcoords(len(palette), keys, part.colours)
        _add_mesh_geom(spec, f"scene/{index} {part.name}", materials[part.material], part.mesh, surface)
    for index, light in enumerate(layout.lights):
        _add_light(spec, f"scene/light {index}", light)


def _fix_extent(spec: mujoco.MjSpec) -> None:
    """Give every scene the same near and far planes: ray tracers compile their kernel anew for other ones.

    The OpenGL renderer's shadow map covers ``SHADOW_REACH_M`` around the middle; beyond it nothing is shaded.
    """
    spec.stat.extent = EXTENT_M
    spec.visual.map.znear = NEAR_M / EXTENT_M
    spec.visual.map.zfar = FAR_M / EXTENT_M
    spec.visual.map.shadowclip = SHADOW_REACH_M / EXTENT_M


def _add_texture(
    spec: mujoco.MjSpec,
    name: str,
    image: NDArray[np.uint8],
    kind: mujoco.mjtTexture = mujoco.mjtTexture.mjTEXTURE_2D,
) -> None:
    texture = spec.add_texture(name=name, type=kind, width=image.shape[1], height=image.shape[0], nchannel=3)
    texture.data = np.ascontiguousarray(image).tobytes()


def _add_material(spec: mujoco.MjSpec, name: str, material: Material) -> None:
    added = spec.add_material(
        name=name,
        rgba=[*material.tint, 1.0],
        specular=material.specular,
        shininess=material.shininess,
        emission=material.emission,
    )
    added.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = (
        _PALETTE if material.texture is None else f"scene/{material.texture}"
    )


def _palette(layout: SceneLayout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All face colours as a square image, one pixel each, and the sorted keys by which a colour finds its pixel."""
    painted = [_colour_keys(part.colours) for part in layout.parts if part.colours is not None]
    keys = np.unique(np.concatenate([np.zeros(1, dtype=np.int64), *painted]))
    side = 1 << max(2, int(np.ceil(np.log2(len(keys)) / 2)))
    image = np.zeros((side * side, 3), dtype=np.uint8)
    image[: len(keys)] = np.stack([keys >> 16, keys >> 8 & 255, keys & 255], axis=-1)
    return image.reshape(side, side, 3), keys


def _colour_keys(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    wide = colours.astype(np.int64)
    return wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]


def _palette_texcoords(side: int, keys: NDArray[np.int64], colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The middle of each face's palette pixel, for all three corners: no filter can mix colours there."""
    cell = np.searchsorted(keys, _colour_keys(colours))
    middle = np.stack([cell % side + 0.5, cell // side + 0.5], axis=-1) / side
    return np.repeat(middle[:, None], 3, axis=1)


def _add_mesh_geom(
    spec: mujoco.MjSpec, name: str, material: str, mesh: Mesh, surface: NDArray[np.float64]
) -> None:
    index = np.arange(3 * len(mesh), dtype=np.int32)
    added = spec.add_mesh(
        name=name,
        uservert=mesh.corners.ravel(),
        usernormal=mesh.normals.ravel(),
        usertexcoord=surface.ravel(),
        userface=index,
        userfacenormal=index,
        userfacetexcoord=index,
    )
    added.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # scenery is open surface: it has no volume
    spec.worldbody.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, material=material, contype=0, conaffinity=0
    )


def _add_light(spec: mujoco.MjSpec, name: str, light: Light) -> None:
    """A directional light gets a place too, up its beam: the OpenGL shadow map looks from there."""
    directional = light.kind == "directional"
    spec.worldbody.add_light(
        name=name,
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL if directional else mujoco.mjtLightType.mjLIGHT_POINT,
        pos=np.multiply(light.direction, -SHADOW_REACH_M) if directional else light.position_m,
        dir=light.direction,
        diffuse=light.diffuse,
        ambient=light.ambient,
        specular=light.specular,
        attenuation=light.attenuation,
        castshadow=light.casts_shadow,
        active=light.active,
    )
