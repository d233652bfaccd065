"""Blender shader graphs of our materials and surroundings."""

from __future__ import annotations

import numpy as np

from mviper.extras import import_extra
from mviper.synthesis.rendering.blender import add_image, linear
from mviper.synthesis.scene import PANORAMA_HEIGHT, Backdrop, Material


class _Graph:
    """Shorthand for building a node tree."""

    def __init__(self, tree: object) -> None:
        self.tree = tree

    def node(self, kind: str, *inputs: object, **settings: object) -> object:
        """Adds a node; inputs are sockets or values (``None``: default), in the node's order."""
        node = self.tree.nodes.new(kind)
        for key, value in settings.items():
            setattr(node, key, value)
        for index, value in enumerate(inputs):
            self.put(node.inputs[index], value)
        return node

    def put(self, socket: object, value: object) -> None:
        if value is None:
            return
        if hasattr(value, "is_output"):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def math(self, operation: str, *inputs: object) -> object:
        return self.node("ShaderNodeMath", *inputs, operation=operation).outputs[0]

    def vector(self, operation: str, *inputs: object) -> object:
        return self.node("ShaderNodeVectorMath", *inputs, operation=operation).outputs

    def mix(self, factor: object, first: object, second: object) -> object:
        """Mixes two colours."""
        node = self.node("ShaderNodeMix", data_type="RGBA")
        for name, value in (("Factor_Float", factor), ("A_Color", first), ("B_Color", second)):
            self.put(next(socket for socket in node.inputs if socket.identifier == name), value)
        return next(socket for socket in node.outputs if socket.identifier == "Result_Color")


def region_attribute(index: int) -> str:
    """Name of the vertex attribute that holds a material's n-th region."""
    return f"region{index}"


def make_material(name: str, material: Material) -> object:
    """Builds the shader of a material."""
    bpy = import_extra("bpy")
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    graph = _Graph(made.node_tree)
    made.node_tree.nodes.clear()
    colour: object = linear(material.colour)
    roughness, specular = material.roughness, 0.3
    if material.image is not None:
        place = graph.node("ShaderNodeUVMap", uv_map="UVMap").outputs[0]
        scaled = graph.vector("SCALE", place)
        graph.put(scaled[0].node.inputs["Scale"], 1 / material.metres)
        if material.surface is not None:
            picture = add_image(f"{name}_surface", material.surface.astype(np.float32) / 255)
            surface = graph.node("ShaderNodeTexImage", scaled[0], image=picture).outputs["Color"]
            roughness, specular, _ = graph.node("ShaderNodeSeparateColor", surface).outputs
        colour = graph.node("ShaderNodeTexImage", scaled[0], image=add_image(name, material.image)).outputs["Color"]
    if material.spots:
        rest = graph.node("ShaderNodeAttribute", attribute_name="rest").outputs["Vector"]
        for spot in material.spots:
            from_centre = graph.vector("SUBTRACT", rest, tuple(map(float, spot.centre)))[0]
            in_radii = graph.vector("DIVIDE", from_centre, tuple(map(float, spot.radii)))[0]
            radius = graph.vector("LENGTH", in_radii)["Value"]
            inside = graph.math("DIVIDE", graph.math("SUBTRACT", 1.0, radius), spot.softness)
            inside.node.use_clamp = True
            factor = graph.math("MULTIPLY", inside, spot.strength)
            colour = graph.mix(factor, colour, linear(spot.colour))
    for index, region in enumerate(material.regions):
        value = graph.node("ShaderNodeAttribute", attribute_name=region_attribute(index)).outputs["Fac"]
        inside = graph.math("GREATER_THAN", value, 0.0)
        colour = graph.mix(inside, colour, linear(region.colour))
    if material.emission > 0:
        shader = graph.node("ShaderNodeEmission", colour, material.emission).outputs[0]
    else:
        node = graph.node("ShaderNodeBsdfPrincipled", colour)
        graph.put(node.inputs["Roughness"], roughness)
        graph.put(node.inputs["Specular IOR Level"], specular)
        shader = node.outputs[0]
    graph.node("ShaderNodeOutputMaterial", shader)
    return made


def _backdrop_colour(graph: _Graph, direction: object, backdrop: Backdrop) -> object:
    """Nodes for the background's colour in a ray's direction, looked up as in ``backdrop_places``."""
    x, y, z = graph.node("ShaderNodeSeparateXYZ", direction).outputs
    bearing = graph.math("ARCTAN2", x, y)  # clockwise from north
    elevation = graph.math("ARCSINE", z)
    place = _photo_place if backdrop.photo else _panorama_place
    where = graph.node("ShaderNodeCombineXYZ", *place(graph, bearing, elevation, backdrop)).outputs[0]
    image = import_extra("bpy").data.images.get("visible") or add_image("visible", backdrop.image)
    extension = "MIRROR" if backdrop.photo else "REPEAT"
    return graph.node("ShaderNodeTexImage", where, image=image, extension=extension).outputs["Color"]


def _from_middles(
    graph: _Graph, bearing: object, elevation: object, backdrop: Backdrop, gain: float
) -> tuple[object, object]:
    """``gain`` times the differences in bearing and elevation to the nearest middle, plus that middle's position."""
    chosen = None
    for middle_bearing, middle_elevation in backdrop.middles:
        gap = graph.math("WRAP", graph.math("SUBTRACT", bearing, middle_bearing), np.pi, -np.pi)
        aside = graph.math("MULTIPLY_ADD", gap, backdrop.magnification, gain * middle_bearing)
        above = graph.math("SUBTRACT", elevation, middle_elevation)
        above = graph.math("MULTIPLY_ADD", above, backdrop.magnification, gain * middle_elevation)
        if chosen is None:
            chosen = gap, aside, above
            continue
        nearer = graph.math("LESS_THAN", graph.math("ABSOLUTE", gap), graph.math("ABSOLUTE", chosen[0]))
        chosen = tuple(
            graph.math("MULTIPLY_ADD", nearer, graph.math("SUBTRACT", new, old), old)
            for new, old in zip((gap, aside, above), chosen)
        )
    return chosen[1], chosen[2]


def _panorama_place(graph: _Graph, bearing: object, elevation: object, backdrop: Backdrop) -> tuple[object, object]:
    aside, above = _from_middles(graph, bearing, elevation, backdrop, 1.0)
    u = graph.math("MULTIPLY_ADD", aside, 1 / (2 * np.pi), backdrop.yaw / (2 * np.pi))
    limit = backdrop.steepest
    folded = graph.math("PINGPONG", graph.math("ADD", above, backdrop.pitch + limit), 2 * limit)
    return u, graph.math("MULTIPLY_ADD", folded, 1 / np.pi, 0.5 - limit / np.pi)


def _photo_place(graph: _Graph, bearing: object, elevation: object, backdrop: Backdrop) -> tuple[object, object]:
    aside, above = _from_middles(graph, bearing, elevation, backdrop, 0.0)
    height, width = backdrop.image.shape[:2]
    places = []
    for side, start, cos, sin in zip(
        (width, height), backdrop.middle, (np.cos(backdrop.roll), -np.sin(backdrop.roll)),
        (np.sin(backdrop.roll), np.cos(backdrop.roll)),
    ):  # fmt: skip
        scale = min(width, height) / side
        places.append(
            graph.math("MULTIPLY_ADD", above, scale * sin, graph.math("MULTIPLY_ADD", aside, scale * cos, start))
        )
    return places[0], places[1]


def make_world(background: dict, backdrop: Backdrop) -> object:
    """Builds the surroundings: one picture as light, and another, magnified, visible to the camera.

    Args:
        background: From a background sampler's ``load``.
        backdrop: How the camera sees it.

    Returns:
        The ``bpy`` world.
    """
    bpy = import_extra("bpy")
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    world.node_tree.nodes.clear()
    graph = _Graph(world.node_tree)
    direction = graph.node("ShaderNodeTexCoord").outputs["Generated"]
    seen = _backdrop_colour(graph, direction, backdrop)
    turned = graph.node("ShaderNodeMapping", direction, None, (0.0, 0.0, background["light_yaw"])).outputs[0]
    light_image = add_image("light", background["light_image"])
    light = graph.node("ShaderNodeTexEnvironment", turned, image=light_image).outputs["Color"]
    is_camera = graph.node("ShaderNodeLightPath").outputs["Is Camera Ray"]
    # Two shaders, not two colours: Cycles then evaluates only the visible one.
    shaders = [graph.node("ShaderNodeBackground", colour).outputs[0] for colour in (light, seen)]
    graph.node("ShaderNodeOutputWorld", graph.node("ShaderNodeMixShader", is_camera, *shaders).outputs[0])
    return world


def make_floor(backdrop: Backdrop, light: np.ndarray, inner: float, outer: float) -> object:
    """Builds the floor's material, which shows a panorama's ground, or the background there, and receives shadows.

    Near the person the floor is diffuse, in a colour that under the scene's light looks like the background; further
    out it fades into the background itself. (Blender's own shadow catcher costs three times as much.)

    Args:
        backdrop: As for :func:`make_world`.
        light: Colour of a white floor in the scene's light, linear RGB (1 = white in the picture), shape (3,).
        inner: Radius up to which the floor is fully diffuse, in the mesh's own axes [m].
        outer: Radius beyond which it is only background [m].

    Returns:
        The ``bpy`` material.
    """
    bpy = import_extra("bpy")
    made = bpy.data.materials.new("floor")
    made.use_nodes = True
    made.node_tree.nodes.clear()
    graph = _Graph(made.node_tree)
    to_eye = graph.node("ShaderNodeNewGeometry").outputs["Incoming"]
    direction = graph.vector("MULTIPLY", to_eye, (-1.0, -1.0, -1.0))[0]
    place = graph.node("ShaderNodeTexCoord").outputs["Object"]
    fade = graph.node(
        "ShaderNodeMapRange", graph.vector("LENGTH", place)["Value"], inner, outer, 0.0, 1.0,
        interpolation_type="SMOOTHSTEP",
    ).outputs[0]  # fmt: skip
    if backdrop.ground:  # as in seen_on_ground
        below = graph.vector("NORMALIZE", graph.vector("SUBTRACT", place, (0.0, 0.0, PANORAMA_HEIGHT))[0])[0]
        aside = graph.vector("SCALE", graph.vector("SUBTRACT", direction, below)[0])
        graph.put(aside[0].node.inputs["Scale"], fade)
        direction = graph.vector("NORMALIZE", graph.vector("ADD", below, aside[0])[0])[0]
    seen = _backdrop_colour(graph, direction, backdrop)
    albedo = graph.vector(
        "MINIMUM", graph.vector("MULTIPLY", seen, tuple((1 / np.maximum(light, 1e-3)).tolist()))[0], (0.9,) * 3
    )[0]
    matt = graph.node("ShaderNodeBsdfDiffuse", albedo).outputs[0]
    is_camera = graph.node("ShaderNodeLightPath").outputs["Is Camera Ray"]
    factor = graph.math("MULTIPLY", fade, is_camera)
    picture = graph.node("ShaderNodeEmission", seen).outputs[0]
    graph.node("ShaderNodeOutputMaterial", graph.node("ShaderNodeMixShader", factor, matt, picture).outputs[0])
    return made
