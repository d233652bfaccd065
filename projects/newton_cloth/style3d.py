"""Cloth on moving obstacles, stepped by Newton's Style3D solver (projective dynamics) on a CPU or an NVIDIA GPU.

Newton's solver has stretching, bending, and contact of cloth with shapes and with cloth. This module adds what garments
also need: deforming obstacles, moving pins, and threads that close seams.
"""

from __future__ import annotations

from dataclasses import dataclass

import newton
import numpy as np
import warp as wp
from newton.solvers import SolverStyle3D, style3d

from mviper.synthesis.simulation import ClothMaterial

#: Upper limit of the stretch stiffness [N/m]: a stiffer cloth costs iterations without a visible difference (1 m of
#: cotton hangs 0.6 mm longer).
STIFFEST = 1000.0
#: Ratio of shear to stretch stiffness of woven cloth.
SHEAR = 0.1


@dataclass
class Cloth:
    """A sheet of triangles to simulate.

    Attributes:
        vertices: Initial positions [m], shape (V, 3).
        faces: Shape (F, 3).
        corners: Each face's corners in the flat pattern [m], shape (F, 3, 2).
        material: The cloth material.
        pinned: Indices of the pinned vertices, shape (P,).
        pin_path: Their positions in each frame [m], shape (T, P, 3).
        threads: Pairs of vertices that a thread pulls together, shape (S, 2).
        thread_stiffness: Stiffness of each thread [N/m].
    """

    vertices: np.ndarray
    faces: np.ndarray
    corners: np.ndarray
    material: ClothMaterial
    pinned: np.ndarray
    pin_path: np.ndarray
    threads: np.ndarray | None = None
    thread_stiffness: float = 0.0


@dataclass(frozen=True)
class Settings:
    """Settings of the time integration.

    Attributes:
        steps: Time steps per frame.
        iterations: Iterations of projective dynamics per step.
        linear_iterations: Conjugate-gradient iterations per iteration of projective dynamics.
        gravity: Downwards [m/s^2].
        air_drag: Air drag per area and speed [N s/m3]; infinite: cloth has no inertia.
        distance: Contact distance between cloth and obstacles [m].
        self_distance: Contact distance between cloth and cloth [m]; 0: cloth passes through cloth.
        friction: Coulomb friction coefficient between cloth and obstacles.
        device: Warp device, e.g. ``"cpu"`` or ``"cuda:0"``; None: a GPU if there is one.
    """

    steps: int
    iterations: int = 1
    linear_iterations: int = 10
    gravity: float = 9.81
    air_drag: float = 0.16
    distance: float = 0.005
    self_distance: float = 0.004
    friction: float = 0.5
    device: str | None = None


class _Surface(newton.Mesh):
    """An obstacle whose inside and outside are decided by the nearest triangle.

    Newton would count a ray's crossings with a watertight mesh, which fails where a body intersects itself.
    """

    is_watertight = False


@wp.kernel
def _between(a: wp.array[wp.vec3], b: wp.array[wp.vec3], share: float, out: wp.array[wp.vec3]):
    i = wp.tid()
    out[i] = wp.lerp(a[i], b[i], share)


@wp.kernel
def _lead(index: wp.array[int], a: wp.array[wp.vec3], b: wp.array[wp.vec3], share: float, positions: wp.array[wp.vec3]):
    i = wp.tid()
    positions[index[i]] = wp.lerp(a[i], b[i], share)


@wp.kernel
def _predict(before: wp.array[wp.vec3], keep: wp.array[float], drop: wp.vec3, positions: wp.array[wp.vec3]):
    i = wp.tid()
    now = positions[i]
    positions[i] = now + keep[i] * (now - before[i]) + drop
    before[i] = now


def simulate(
    cloths: list[Cloth], obstacles: list[tuple[np.ndarray, np.ndarray]], fps: float, settings: Settings
) -> list[np.ndarray]:
    """Simulates cloth with pins and obstacles, starting from rest.

    Args:
        cloths: All collide with each other.
        obstacles: Vertices over time [m], shape (T, N, 3), and faces (F, 3), counter-clockwise seen from outside.
        fps: Frames per second.
        settings: Of the time integration.

    Returns:
        The vertices of each cloth in every frame [m], shape (T, V, 3) float32; frame 0 is the initial state.
    """
    device = wp.get_device(settings.device)
    with wp.ScopedDevice(device):
        return _simulate(cloths, obstacles, fps, settings)


def _simulate(
    cloths: list[Cloth], obstacles: list[tuple[np.ndarray, np.ndarray]], fps: float, settings: Settings
) -> list[np.ndarray]:
    frames, dt = len(cloths[0].pin_path), 1.0 / (fps * settings.steps)
    builder = newton.ModelBuilder(up_axis=newton.Axis.Z)
    SolverStyle3D.register_custom_attributes(builder)
    starts = [_add(builder, cloth, settings.distance) for cloth in cloths]
    shapes = [
        builder.add_shape_mesh(
            body=-1,
            mesh=_Surface(vertices[0], faces.ravel(), compute_inertia=False),
            cfg=newton.ModelBuilder.ShapeConfig(mu=settings.friction, density=0.0),
        )
        for vertices, faces in obstacles
    ]
    model = builder.finalize()
    # Newton culls shapes by their initial bounding box.
    model.shape_collision_aabb_lower.fill_(wp.vec3(-1e3))
    model.shape_collision_aabb_upper.fill_(wp.vec3(1e3))
    model.soft_contact_ke, model.soft_contact_kd, model.soft_contact_mu = 2e3, 1e-3, settings.friction
    model.set_gravity((0.0, 0.0, 0.0))
    config = SolverStyle3D.Config(iterations=settings.iterations, linear_iterations=settings.linear_iterations)
    solver = SolverStyle3D(model, config=config)
    if settings.self_distance:
        solver.collision.radius = settings.self_distance / 2
    else:
        solver.collision.stiff_vf = solver.collision.stiff_ee = solver.collision.stiff_ef = 0.0
    pipeline = newton.CollisionPipeline(model, soft_contact_gap=0.03, broad_phase="nxn")
    contacts, control = pipeline.contacts(), model.control()
    state, other = model.state(), model.state()
    meshes = [model.shape_source[shape].mesh for shape in shapes]
    pinned = wp.array(np.concatenate([c.pinned + start for c, start in zip(cloths, starts)]), dtype=int)
    pin_path = np.concatenate([cloth.pin_path for cloth in cloths], axis=1)
    # The solver starts from the force-free position with zero velocity, so that its constant matrix, stiff in all
    # directions, resists only what forces change and not the motion itself. (Started from the current position, it
    # needs tens of iterations per step, or a sheet falls at a fraction of its speed.) Friction needs the true positions
    # before the step.
    before = wp.clone(state.particle_q)
    contact_force = solver.collision.accumulate_contact_force
    solver.collision.accumulate_contact_force = lambda *args: contact_force(*args[:6], before, *args[7:])
    drag = np.concatenate([np.full(len(c.vertices), settings.air_drag / c.material.density) for c in cloths])
    keep, drop = wp.array(np.exp(-drag * dt), dtype=float), wp.vec3(0.0, 0.0, -settings.gravity * dt * dt)
    out = np.empty((frames, model.particle_count, 3), np.float32)
    out[0] = state.particle_q.numpy()
    for frame in range(1, frames):
        ends = [[_points(vertices[k]) for k in (frame - 1, frame)] for vertices, _ in obstacles]
        for mesh, (a, b) in zip(meshes, ends):
            mesh.velocities.assign((b.numpy() - a.numpy()) * fps)
        pin_ends = [_points(pin_path[k]) for k in (frame - 1, frame)]
        for step in range(settings.steps):
            share = (step + 1) / settings.steps
            for mesh, (a, b) in zip(meshes, ends):
                wp.launch(_between, dim=len(a), inputs=[a, b, share], outputs=[mesh.points])
                mesh.refit()
            wp.launch(_predict, dim=len(before), inputs=[before, keep, drop, state.particle_q])
            wp.launch(_lead, dim=len(pinned), inputs=[pinned, *pin_ends, share, state.particle_q])
            pipeline.collide(state, contacts)
            state.clear_forces()
            state.particle_qd.zero_()
            solver.step(state, other, control, contacts, dt)
            state, other = other, state
        out[frame] = state.particle_q.numpy()
    return [out[:, start : start + len(cloth.vertices)] for cloth, start in zip(cloths, starts)]


def _points(vertices: np.ndarray) -> wp.array:
    return wp.array(np.ascontiguousarray(vertices, np.float32), dtype=wp.vec3)


def _add(builder: newton.ModelBuilder, cloth: Cloth, radius: float) -> int:
    """Adds a cloth to the model; returns the index of its first vertex."""
    start, material = builder.particle_count, cloth.material
    stretch = min(material.stretch, STIFFEST)
    style3d.add_cloth_mesh(
        builder,
        pos=wp.vec3(0.0),
        rot=wp.quat_identity(),
        vel=wp.vec3(0.0),
        vertices=cloth.vertices,
        indices=cloth.faces.ravel(),
        panel_verts=cloth.corners.reshape(-1, 2),
        panel_indices=np.arange(cloth.faces.size),
        density=material.density,
        tri_aniso_ke=wp.vec3(stretch, stretch, SHEAR * stretch),
        edge_aniso_ke=wp.vec3(material.bending),
        particle_radius=radius,
    )
    for vertex in cloth.pinned:
        builder.particle_mass[start + vertex] = 0.0
    if cloth.threads is not None:
        # The solver's bending energy of an edge is 1/2 k 3/area |w . x|^2 over its four vertices; with these cotangents
        # w = (1, -1, 0, 0): a spring of length 0 between the first two.
        count, (a, b) = len(cloth.threads), (cloth.threads + start).T
        builder.add_edges(
            a, b, a, b, rest=[0.0] * count, edge_ke=[cloth.thread_stiffness] * count,
            custom_attributes={
                "style3d:edge_rest_area": [3.0] * count,
                "style3d:edge_bending_cot": [wp.vec4(-1.0, 1.0, 0.0, 0.0)] * count,
            },
        )  # fmt: skip
    return start
