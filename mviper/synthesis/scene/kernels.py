"""The search for a keypoint's occluders, compiled by numba; imported where it is called."""

from __future__ import annotations

import numba

#: Hits nearer than this to a keypoint on the surface are the keypoint itself [m].
_TOUCH = 1e-3


@numba.njit(cache=True, nogil=True)
def find_hits(pixels, depth, corners, groups, targets, target_depth, triangle, hit_depth):
    """Fills ``triangle`` and ``hit_depth``, see :func:`~mviper.synthesis.scene.annotation.first_hits`."""
    left, right = targets[:, 0].min() if len(targets) else 0.0, targets[:, 0].max() if len(targets) else 0.0
    for index in range(len(corners)):
        p, q, r = corners[index, 0], corners[index, 1], corners[index, 2]
        if min(depth[p], depth[q], depth[r]) <= 1e-3:
            continue
        px, py, qx, qy, rx, ry = pixels[p, 0], pixels[p, 1], pixels[q, 0], pixels[q, 1], pixels[r, 0], pixels[r, 1]
        low_x, high_x = min(px, qx, rx), max(px, qx, rx)
        if high_x < left or low_x > right:
            continue
        low_y, high_y = min(py, qy, ry), max(py, qy, ry)
        for k in range(len(targets)):
            x, y = targets[k, 0], targets[k, 1]
            if not (low_x <= x <= high_x and low_y <= y <= high_y):
                continue
            ax, ay, bx, by, cx, cy = px - x, py - y, qx - x, qy - y, rx - x, ry - y
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if area == 0:  # seen edge on
                continue
            u, v, w = (bx * cy - by * cx) / area, (cx * ay - cy * ax) / area, (ax * by - ay * bx) / area
            if u < 0 or v < 0 or w < 0:
                continue
            found = 1 / (u / depth[p] + v / depth[q] + w / depth[r])
            group = groups[index]
            if found < target_depth[k] - _TOUCH and found < hit_depth[k, group]:
                hit_depth[k, group] = found
                triangle[k, group] = index
