"""HumanData: one view's annotation in the ``.npz`` format of MMHuman3D 0.11.

The format (https://github.com/open-mmlab/mmhuman3d, docs/human_data.md) is a flat dictionary of arrays, lists and
nested dictionaries. Keypoints come in a fixed order of 190 names; a mask says which of them the file has. Data without
a place in the format (visibility, the camera over time, the video) are stored under additional keys, which MMHuman3D
keeps and ignores.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mviper.errors import FileFormatError
from mviper.files import load_npz, names_in, save_npz
from mviper.structures.camera import Camera
from mviper.structures.joints import KEYPOINTS


def _fingers(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_{f}_{i}" for f in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3))


def _numbered(name: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{name}_{number}" for number in numbers)


#: The 190 keypoint names of MMHuman3D's convention ``human_data``, in its order.
HUMAN_DATA_KEYPOINTS = (
    *("pelvis", "left_hip", "right_hip", "spine_1", "left_knee", "right_knee", "spine_2", "left_ankle"),
    *("right_ankle", "spine_3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw"),
    *("left_eyeball", "right_eyeball", *_fingers("left"), *_fingers("right")),
    *("nose", "right_eye", "left_eye", "right_ear", "left_ear", "left_bigtoe", "left_smalltoe", "left_heel"),
    *("right_bigtoe", "right_smalltoe", "right_heel"),
    *("left_thumb", "left_index", "left_middle", "left_ring", "left_pinky"),
    *("right_thumb", "right_index", "right_middle", "right_ring", "right_pinky"),
    *_numbered("right_eyebrow", 1, 2, 3, 4, 5),
    *_numbered("left_eyebrow", 5, 4, 3, 2, 1),
    *_numbered("nosebridge", 1, 2, 3, 4),
    *("right_nose_2", "right_nose_1", "nose_middle", "left_nose_1", "left_nose_2"),
    *_numbered("right_eye", 1, 2, 3, 4, 5, 6),
    *_numbered("left_eye", 4, 3, 2, 1, 6, 5),
    *(*_numbered("right_mouth", 1, 2, 3), "mouth_top", *_numbered("left_mouth", 3, 2, 1, 5, 4), "mouth_bottom"),
    *(*_numbered("right_mouth", 4, 5), *_numbered("right_lip", 1, 2), "lip_top", *_numbered("left_lip", 2, 1, 3)),
    *("lip_bottom", "right_lip_3", *_numbered("right_contour", 1, 2, 3, 4, 5, 6, 7, 8), "contour_middle"),
    *_numbered("left_contour", 8, 7, 6, 5, 4, 3, 2, 1),
    *("right_hip_extra", "left_hip_extra", "neck_extra", "headtop", "pelvis_extra", "thorax_extra", "spine_extra"),
    *("jaw_extra", "head_extra"),
    *("nose_openpose", "neck_openpose", "right_shoulder_openpose", "right_elbow_openpose", "right_wrist_openpose"),
    *("left_shoulder_openpose", "left_elbow_openpose", "left_wrist_openpose", "pelvis_openpose"),
    *("right_hip_openpose", "right_knee_openpose", "right_ankle_openpose", "left_hip_openpose", "left_knee_openpose"),
    *("left_ankle_openpose", "right_eye_openpose", "left_eye_openpose", "right_ear_openpose", "left_ear_openpose"),
    *("left_bigtoe_openpose", "left_smalltoe_openpose", "left_heel_openpose", "right_bigtoe_openpose"),
    *("right_smalltoe_openpose", "right_heel_openpose"),
    *("spine_4_3dhp", "left_clavicle_3dhp", "right_clavicle_3dhp", "left_hand_3dhp", "right_hand_3dhp"),
    *("left_toe_3dhp", "right_toe_3dhp", "head_h36m", "headtop_h36m", "head_bottom_pt", "left_hand", "right_hand"),
)

_PLACE = {name: place for place, name in enumerate(HUMAN_DATA_KEYPOINTS)}


@dataclass
class HumanData:
    """One view's annotation over N frames, with keypoints in the order of ``names``.

    Attributes:
        keypoints2d: x, y [px] and confidence (1 where annotated, whether seen or not), shape (N, J, 3).
        keypoints3d: x, y, z [m] in camera axes and confidence, shape (N, J, 4); ``None`` if the file has none. The
            file's masks mark the keypoints with nonzero confidence in some row.
        bbox_xywh: Left, top, width, height [px] and confidence, shape (N, 5).
        smpl: ``global_orient`` (N, 3), ``body_pose`` (N, 23, 3) [rad], ``betas`` (N, 10) and ``transl`` (N, 3) [m] in
            the camera's frame; ``None`` if the file has none.
        body_model: ``name:sha256`` of the body that ``smpl`` belongs to; "" if unknown.
        visibility: chi of eq. 7, uint8 0 or 1, shape (N, J); ``None`` if unknown.
        image_path: One relative path per frame (for generated videos: where an export to images puts the frame).
        video_path: Video file, relative to the annotation file (for a converted public set, to that set's folder); ""
            for images.
        frame_idx: Frame number in the video, shape (N,).
        camera: The camera; ``None`` if unknown.
        meta: MMHuman3D's ``meta`` (``gender``, ``height``, ``width``).
        names: Keypoint names.
    """

    keypoints2d: np.ndarray
    keypoints3d: np.ndarray | None
    bbox_xywh: np.ndarray
    smpl: dict[str, np.ndarray] | None
    body_model: str = ""
    visibility: np.ndarray | None = None
    image_path: list[str] = field(default_factory=list)
    video_path: str = ""
    frame_idx: np.ndarray | None = None
    camera: Camera | None = None
    meta: dict = field(default_factory=dict)
    names: tuple[str, ...] = KEYPOINTS

    def __len__(self) -> int:
        return len(self.keypoints2d)

    @property
    def picture_sizes(self) -> np.ndarray | None:
        """Width and height of each frame [px], shape (N, 2), from the camera or else from ``meta``.

        ``None`` if neither states them.

        Raises:
            ValueError: The stated values are not sizes, or not one per frame.
        """
        if self.camera is not None:
            width, height = self.camera.width, self.camera.height
        elif {"width", "height"} <= set(self.meta):
            width, height = self.meta["width"], self.meta["height"]
        else:
            return None
        sizes = [np.broadcast_to(np.asarray(side, np.float64), len(self)) for side in (width, height)]
        stacked = np.stack(sizes, axis=1)
        if not (np.isfinite(stacked) & (stacked >= 1)).all():
            raise ValueError(f"width and height of its pictures are {stacked[0].tolist()}")
        return stacked.astype(int)

    def take(self, rows: np.ndarray) -> HumanData:
        """The rows selected by an index array or mask, in its order."""
        frames, rows = len(self), np.arange(len(self))[rows]

        def of(values: np.ndarray) -> np.ndarray:
            return np.asarray(values)[rows]

        def if_any(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else of(values)

        camera = self.camera
        return replace(
            self,
            keypoints2d=of(self.keypoints2d),
            keypoints3d=if_any(self.keypoints3d),
            bbox_xywh=of(self.bbox_xywh),
            smpl=None if self.smpl is None else {key: of(value) for key, value in self.smpl.items()},
            visibility=if_any(self.visibility),
            image_path=[self.image_path[row] for row in rows] if self.image_path else [],
            frame_idx=if_any(self.frame_idx),
            camera=None if camera is None else replace(camera, R=camera.R[rows], t=camera.t[rows]),
            meta={
                key: [value[row] for row in rows] if isinstance(value, list) and len(value) == frames else value
                for key, value in self.meta.items()
            },
        )

    def save(self, path: str | Path, compressed: bool = False) -> None:
        """Writes the ``.npz`` atomically; equal content gives equal bytes.

        Args:
            path: The file.
            compressed: Store only existing keypoints, as MMHuman3D's ``compress_keypoints_by_mask`` does: reading takes
                a tenth of the memory.
        """
        places = np.array([_PLACE[name] for name in self.names], int)
        frames = len(self)

        def mask_of(values: np.ndarray) -> np.ndarray:
            mask = np.zeros(len(HUMAN_DATA_KEYPOINTS), np.uint8)
            mask[places] = (values[..., -1] != 0).any(axis=0)
            return mask

        def spread(values: np.ndarray, dtype: type) -> np.ndarray:
            full: np.ndarray = np.zeros((frames, len(HUMAN_DATA_KEYPOINTS), *values.shape[2:]), dtype)
            full[:, places] = values
            return full

        content: dict[str, Any] = {
            "__key_strict__": np.bool_(False),
            "__data_len__": np.int64(frames),
            "__keypoints_compressed__": np.bool_(compressed),
            "image_path": np.array(self.image_path, dtype=str),
            "bbox_xywh": self.bbox_xywh.astype(np.float32),
            "keypoints2d": spread(self.keypoints2d, np.float32),
            "keypoints2d_mask": mask_of(self.keypoints2d),
            "config": self.body_model,
            "meta": self.meta,
        }
        if self.keypoints3d is not None:
            content["keypoints3d"] = spread(self.keypoints3d, np.float32)
            content["keypoints3d_mask"] = mask_of(self.keypoints3d)
        if compressed:
            for key in ("keypoints2d", "keypoints3d"):
                if key in content:
                    content[key] = content[key][:, content[f"{key}_mask"] > 0]
        if self.smpl is not None:
            content["smpl"] = {key: np.asarray(value, np.float32) for key, value in self.smpl.items()}
        if self.visibility is not None:
            content["visibility"] = spread(self.visibility, np.uint8)
        if self.video_path:
            content["video_path"] = self.video_path
        if self.frame_idx is not None:
            content["frame_idx"] = self.frame_idx.astype(np.int64)
        if self.camera is not None:
            camera = self.camera
            content["cam_param"] = {
                "K": camera.K, "R": camera.R, "t": camera.t, "width": camera.width, "height": camera.height,
            }  # fmt: skip
        save_npz(path, **content)

    @classmethod
    def load(
        cls, path: str | Path, names: tuple[str, ...] = KEYPOINTS, content: bytes | None = None
    ) -> HumanData:  # fmt: skip
        """Reads a HumanData file written by MVIPER or MMHuman3D, with or without compressed keypoints.

        Args:
            path: The file.
            names: Keypoints to read; those that the file lacks are filled with zeros and confidence 0.
            content: The file's bytes, if it is a member of an archive.

        Raises:
            FileFormatError: Not a HumanData file.
        """
        data = load_npz(path, content=content)
        try:
            return cls._from_arrays(data, names, Path(path).stem)
        except KeyError as error:
            raise FileFormatError(path, f"not a HumanData file: it lacks {error}; it holds {names_in(data)}") from error
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise FileFormatError(path, f"not a HumanData file: {error}") from error

    @classmethod
    def _from_arrays(cls, data: dict[str, np.ndarray], names: tuple[str, ...], view: str) -> HumanData:
        places = np.array([_PLACE[name] for name in names], int)
        frames = len(data["keypoints2d"])

        def numbers(key: str, values: Any, *shape: int) -> np.ndarray:
            array = np.asarray(values)
            if array.dtype.kind not in "buif":
                raise ValueError(f"{key} holds {array.dtype}, expected numbers")
            if array.shape != (frames, *shape):
                raise ValueError(f"{key} has shape {array.shape}, expected {(frames, *shape)}")
            return array

        def gather(key: str, width: int) -> np.ndarray:
            values, mask = data[key], data[f"{key}_mask"].astype(bool)
            if mask.shape != (len(HUMAN_DATA_KEYPOINTS),):
                raise ValueError(f"{key}_mask has shape {mask.shape}, expected ({len(HUMAN_DATA_KEYPOINTS)},)")
            values = numbers(key, values, mask.sum() if values.shape[1] == mask.sum() else len(mask), width)
            if values.shape[1] != len(mask):  # compressed: only existing keypoints
                column = np.cumsum(mask) - 1
                picked = np.zeros((frames, len(places), values.shape[2]), values.dtype)
                picked[:, mask[places]] = values[:, column[places[mask[places]]]]
                return picked
            return values[:, places] * mask[places, None]

        keypoints3d = gather("keypoints3d", 4) if "keypoints3d" in data else None
        keypoints2d = gather("keypoints2d", 3)
        visibility = None
        if "visibility" in data:
            visibility = numbers("visibility", data["visibility"], len(HUMAN_DATA_KEYPOINTS))[:, places]
        bbox = np.asarray(data["bbox_xywh"], np.float32)
        if bbox.shape[1] == 4:
            bbox = np.concatenate([bbox, np.ones((frames, 1), np.float32)], 1)
        smpl = data["smpl"].item() if "smpl" in data else None
        if smpl is not None:
            shapes = {"global_orient": (3,), "body_pose": (23, 3), "transl": (3,)}
            if np.shape(smpl["body_pose"]) == (frames, 69):  # as others write it
                smpl["body_pose"] = np.reshape(smpl["body_pose"], (frames, 23, 3))
            smpl |= {key: numbers(key, smpl[key], *shapes[key]) for key in shapes if key in smpl or key != "transl"}
            if "betas" in smpl:
                smpl["betas"] = numbers("betas", smpl["betas"], np.shape(smpl["betas"])[-1])
        camera = None
        if "cam_param" in data:
            parameters = data["cam_param"].item()
            if {"K", "R", "t", "width", "height"} <= set(parameters):
                camera = Camera(**{key: parameters[key] for key in ("K", "R", "t", "width", "height")}, name=view)
        image_path = [str(name) for name in data.get("image_path", [])]
        lengths = {len(bbox), *(len(value) for value in (smpl or {}).values()), len(image_path) or frames}
        if lengths != {frames}:
            raise ValueError(f"its arrays disagree on the number of frames: {sorted(lengths | {frames})}")
        return cls(
            keypoints2d, keypoints3d, bbox, smpl,
            body_model=str(data.get("config", "")),
            visibility=visibility,
            image_path=image_path,
            video_path=str(data.get("video_path", "")),
            frame_idx=numbers("frame_idx", data["frame_idx"]) if "frame_idx" in data else None,
            camera=camera,
            meta=data["meta"].item() if "meta" in data else {},
            names=names,
        )  # fmt: skip
