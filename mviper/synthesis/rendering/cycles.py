"""Pictures by Blender's path tracer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mviper.errors import ConfigError
from mviper.extras import import_extra, quiet
from mviper.registry import RENDERERS
from mviper.structures import Camera, MeshSequence
from mviper.synthesis.rendering.blender import (
    add_camera,
    add_mesh,
    add_object,
    move_camera,
    move_mesh,
)
from mviper.synthesis.rendering.materials import (
    make_floor,
    make_material,
    make_world,
    region_attribute,
)
from mviper.synthesis.scene import Backdrop, Scene, floor_light, ground_radii, place_backdrop

#: Device settings in the order in which 'auto' tries them.
_GPU_BACKENDS = ("OPTIX", "CUDA")


@RENDERERS.register_module()
class CyclesRenderer:
    """Renders a scene from several cameras, frame by frame, so that each frame's meshes are prepared only once.

    Args:
        samples: Paths per pixel; 4 are enough with the denoiser.
        denoise: Whether to apply Open Image Denoise.
        device: ``'cpu'``, ``'cuda'``, ``'optix'``, or ``'auto'``: the best available.
        threads: CPU threads; 0 for all.
    """

    def __init__(self, samples: int = 4, denoise: bool = True, device: str = "auto", threads: int = 0) -> None:
        if device not in ("auto", "cpu", "cuda", "optix"):
            raise ConfigError(f"CyclesRenderer: device is 'auto', 'cpu', 'cuda' or 'optix', got {device!r}")
        if samples < 1:
            raise ConfigError(f"CyclesRenderer: samples must be 1 or more, got {samples}")
        self.samples, self.denoise, self.device, self.threads = samples, denoise, device, threads

    def render(
        self, scene: Scene, cameras: Sequence[Camera], frames: Sequence[int] | None = None
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Renders; replaces the scene that Blender has open.

        Args:
            scene: What to render.
            cameras: All of one resolution.
            frames: Frame numbers; ``None`` for all.

        Yields:
            Frame number, index of the camera, sRGB picture uint8 (H, W, 3); all cameras of a frame together.
        """
        import cv2

        bpy = import_extra("bpy")
        if len({(camera.width, camera.height) for camera in cameras}) != 1:
            raise ValueError("all cameras of a run must have the same resolution")
        with quiet():
            bpy.ops.wm.read_factory_settings(use_empty=True)
        self._set_up(cameras[0])
        moving = self._build(scene, cameras)
        eyes = [add_camera(camera) for camera in cameras]
        settings = bpy.context.scene
        with tempfile.TemporaryDirectory(prefix="mviper_render_") as folder:
            path = Path(folder) / "frame.bmp"
            settings.render.filepath = str(path)
            for frame in range(len(scene)) if frames is None else frames:
                for thing, mesh in moving:
                    move_mesh(thing, mesh.vertices[frame])
                for index, (camera, eye) in enumerate(zip(cameras, eyes)):
                    move_camera(eye, camera.R[frame], camera.t[frame])
                    settings.camera = eye
                    with quiet():
                        bpy.ops.render.render(write_still=True)
                    yield frame, index, cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]

    def _set_up(self, camera: Camera) -> None:
        bpy = import_extra("bpy")
        scene = bpy.context.scene
        render, cycles = scene.render, scene.cycles
        render.engine = "CYCLES"
        cycles.device = "CPU" if self._choose_backend() is None else "GPU"
        cycles.samples = self.samples
        cycles.use_adaptive_sampling = False
        cycles.use_denoising = self.denoise
        if self.denoise:
            cycles.denoiser = "OPENIMAGEDENOISE"
            cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
            # Guides smoothed beforehand would blur faces and fabrics.
            cycles.denoising_prefilter, cycles.denoising_quality = "NONE", "FAST"
        cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 2, 1, 1
        cycles.transmission_bounces, cycles.volume_bounces, cycles.transparent_max_bounces = 0, 0, 2
        cycles.caustics_reflective = cycles.caustics_refractive = False
        cycles.use_light_tree = False  # does not pay off for four lamps
        render.use_persistent_data = True
        render.threads_mode, render.threads = ("FIXED", self.threads) if self.threads else ("AUTO", 1)
        render.resolution_x, render.resolution_y, render.resolution_percentage = camera.width, camera.height, 100
        render.image_settings.file_format = "BMP"
        render.image_settings.color_mode = "RGB"
        render.dither_intensity = 0.0
        scene.view_settings.view_transform = "Standard"

    def _choose_backend(self) -> str | None:
        bpy = import_extra("bpy")
        if self.device == "cpu":
            return None
        preferences = bpy.context.preferences.addons["cycles"].preferences
        wanted = _GPU_BACKENDS if self.device == "auto" else (self.device.upper(),)
        for backend in wanted:
            try:
                preferences.compute_device_type = backend
            except TypeError:  # this build of Blender does not have it
                continue
            preferences.refresh_devices()
            devices = [device for device in preferences.devices if device.type == backend]
            if devices:
                for device in preferences.devices:
                    device.use = device.type == backend
                return backend
        if self.device != "auto":
            raise ConfigError(f"CyclesRenderer: device={self.device!r}, but Blender finds no such GPU here")
        return None

    def _build(self, scene: Scene, cameras: Sequence[Camera]) -> list[tuple[object, MeshSequence]]:
        bpy = import_extra("bpy")
        from mathutils import Vector

        moving = []
        for index, part in enumerate(scene.meshes):
            name = f"{index}_{part.mesh.name}"
            attributes = {region_attribute(k): region.value for k, region in enumerate(part.material.regions)}
            if part.material.rest is not None:
                attributes["rest"] = part.material.rest
            thing = add_mesh(part.mesh, name, attributes)
            thing.data.materials.append(make_material(name, part.material))
            moving.append((thing, part.mesh))
        for index, lamp in enumerate(scene.lamps):
            light = bpy.data.lights.new(f"lamp_{index}", "AREA")
            light.energy, light.size, light.color = lamp["power"], lamp["size"], lamp["colour"]
            thing = add_object(light.name, light)
            thing.location = lamp["position"]
            aim = Vector(np.asarray(lamp["target"]) - lamp["position"])
            thing.rotation_euler = aim.to_track_quat("-Z", "Y").to_euler()
            thing.visible_camera = False
        if scene.background is not None:
            backdrop = place_backdrop(scene, cameras)
            bpy.context.scene.world = make_world(scene.background, backdrop)
            # By default Cycles tabulates the environment light at the resolution of the largest picture: 2.6 s.
            bpy.context.scene.world.cycles.sampling_method = "MANUAL"
            bpy.context.scene.world.cycles.sample_map_resolution = 512
            if scene.floor:
                self._add_floor(scene, backdrop)
        return moving

    @staticmethod
    def _add_floor(scene: Scene, backdrop: Backdrop) -> None:
        """Adds a disc under all positions of the person, wide enough for the shadow."""
        middle, reach = backdrop.stand
        inner, outer = ground_radii(reach)
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        rim = outer * np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
        fan = np.stack([np.zeros(64, int), np.arange(1, 65), np.roll(np.arange(1, 65), -1)], -1)
        disc = add_mesh(MeshSequence(np.concatenate([np.zeros((1, 3)), rim])[None], fan), "floor")
        disc.location = (*middle, 0.0)
        disc.data.materials.append(make_floor(backdrop, floor_light(scene), inner, outer))
