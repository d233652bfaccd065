"""MPI-INF-3DHP (Mehta et al., 3DV 2017)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from mviper.datasets.converters.base import HumanDataConverter, check_numbers, check_shape, inside, with_confidence
from mviper.datasets.converters.conventions import MPI_INF_3DHP, MPI_INF_3DHP_TEST
from mviper.errors import FileFormatError
from mviper.extras import import_extra
from mviper.registry import DATA_CONVERTERS
from mviper.structures import HumanData

#: The eight cameras at chest height and above that have videos in the common download ("vnect").
_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)

#: Sequences at 50 frames/s (util/mpii_get_sequence_info.m); all others run at 25.
_AT_50_FPS = {"S1/Seq2", "S3/Seq1", "S3/Seq2", "S5/Seq1", "S5/Seq2"}

#: Test sequences 5 and 6 were filmed outdoors with another camera.
_TEST_SIZES = {"TS5": (1920, 1080), "TS6": (1920, 1080)}


@DATA_CONVERTERS.register_module()
class MPIINF3DHPConverter(HumanDataConverter):
    """MPI-INF-3DHP: 17 of its joints in 2D and, in the camera's axes, in 3D (millimetres, as measured, not rescaled).

    Training: S1-S8, two sequences and eight cameras each, thinned to 25 frames/s. Test: TS1-TS6, all frames marked
    valid. The set has no SMPL parameters.
    """

    name = "mpi_inf_3dhp"
    splits = ("train", "test")
    default_fps = {"train": 25.0}
    licence = "research, no redistribution"
    source = "https://vcai.mpi-inf.mpg.de/3dhp-dataset (get_dataset.sh, get_testset.sh)"
    layout = """  ROOT/S1/Seq1/annot.mat
  ROOT/S1/Seq1/imageSequence/video_0.avi ...    (or pictures ROOT/S1/Seq1/video_0/frame_000001.jpg ...)
  and S2 ... S8, Seq1 and Seq2 alike
  ROOT/mpi_inf_3dhp_test_set/TS1/annot_data.mat
  ROOT/mpi_inf_3dhp_test_set/TS1/imageSequence/img_000001.jpg ...
  and TS2 ... TS6 alike"""

    def sequences(self, split: str) -> list[str]:
        """``S1_Seq1_0`` (subject, sequence, camera), or ``TS1``."""
        if split == "test":
            names = [f"TS{number}" for number in range(1, 7)]
            needed = [f"mpi_inf_3dhp_test_set/{name}/annot_data.mat" for name in names]
            return list(itertools.compress(names, self.present(needed, "test annotations")))
        takes = [f"S{subject}/Seq{take}" for subject in range(1, 9) for take in (1, 2)]
        there = self.present([f"{take}/annot.mat" for take in takes], "training annotations")
        filmed = [(take, camera) for take in itertools.compress(takes, there) for camera in _CAMERAS]
        videos = [
            first if (self.root / (first := f"{take}/video_{camera}/frame_000001.jpg")).is_file()
            else f"{take}/imageSequence/video_{camera}.avi"
            for take, camera in filmed
        ]  # fmt: skip
        there = self.present(videos, "videos, or folders of images instead,")
        return [f"{take.replace('/', '_')}_{camera}" for take, camera in itertools.compress(filmed, there)]

    def read(self, split: str, sequence: str) -> HumanData:
        """One camera's video of one sequence."""
        return self._read_test(sequence) if split == "test" else self._read_train(*sequence.rsplit("_", 1))

    def _read_train(self, take: str, camera: str) -> HumanData:
        take = take.replace("_", "/")
        path = self.root / take / "annot.mat"
        content = self.mats(path, {"annot2": (14, 1), "annot3": (14, 1)})
        points2d, points3d = (content[key][int(camera), 0] for key in ("annot2", "annot3"))
        points2d = check_numbers(path, "annot2", points2d, (None, 56))
        points3d = check_numbers(path, "annot3", points3d, (len(points2d), 84))
        native = 50.0 if take in _AT_50_FPS else 25.0
        step = self.frame_step("train", native)
        frames = self.thinned(len(points2d), step)
        joints = list(MPI_INF_3DHP)
        pictures = self.root / take / f"video_{camera}"
        as_pictures = (pictures / "frame_000001.jpg").is_file()
        names = [f"{take}/video_{camera}/frame_{frame + 1:06d}.jpg" for frame in frames]
        if as_pictures:
            there = self.rows_with_pictures(names)
            frames, names = frames[there], list(itertools.compress(names, there))
        return self._human_data(
            points2d.reshape(-1, 28, 2)[frames][:, joints],
            points3d.reshape(-1, 28, 3)[frames][:, joints],
            names,
            frames,
            (2048, 2048),
            {"fps": native / step, "frame_step": step},
            tuple(MPI_INF_3DHP.values()),
            "" if as_pictures else f"{take}/imageSequence/video_{camera}.avi",
        )

    def _read_test(self, name: str) -> HumanData:
        folder = f"mpi_inf_3dhp_test_set/{name}"
        path = self.root / folder / "annot_data.mat"
        joints = len(MPI_INF_3DHP_TEST)
        points2d, points3d, valid = _read_hdf5(path, "annot2", "annot3", "valid_frame")
        check_shape(path, "annot2", points2d, (None, 1, joints, 2))
        check_shape(path, "annot3", points3d, (len(points2d), 1, joints, 3))
        if valid.size != len(points2d):
            raise FileFormatError(path, f"'valid_frame' has {valid.size} elements for {len(points2d)} frames")
        frames = np.flatnonzero(valid.ravel() > 0)
        names = [f"{folder}/imageSequence/img_{frame + 1:06d}.jpg" for frame in frames]
        self.dropped["not marked valid"] += len(points2d) - len(frames)
        there = self.rows_with_pictures(names)
        frames, names = frames[there], list(itertools.compress(names, there))
        for key, points in (("annot2", points2d), ("annot3", points3d)):
            check_numbers(path, key, points[frames], (len(frames), *points.shape[1:]))
        return self._human_data(
            points2d[frames, 0], points3d[frames, 0], names, frames, _TEST_SIZES.get(name, (2048, 2048)),
            {"frame_step": 1}, MPI_INF_3DHP_TEST, "",
        )  # fmt: skip

    def _human_data(
        self,
        points2d: np.ndarray,
        points3d: np.ndarray,
        pictures: list[str],
        frames: np.ndarray,
        size: tuple[int, int],
        meta: dict,
        names: tuple[str, ...],
        video: str,
    ) -> HumanData:
        return HumanData(
            keypoints2d=with_confidence(points2d),
            keypoints3d=with_confidence(points3d / 1000),
            bbox_xywh=np.zeros((len(frames), 5)),
            smpl=None,
            visibility=inside(points2d, size).astype(np.uint8),
            image_path=pictures,
            video_path=video,
            frame_idx=frames,
            meta={"width": size[0], "height": size[1], **meta},
            names=names,
        )


def _read_hdf5(path: Path, *keys: str) -> list[np.ndarray]:
    """Arrays of a MATLAB 7.3 file, with HDF5's axis order (MATLAB's reversed)."""
    h5py = import_extra("h5py")
    try:
        with h5py.File(path, "r") as file:
            return [np.asarray(file[key], np.float64) for key in keys]
    except Exception as error:  # h5py raises many kinds on damaged files
        raise FileFormatError(path, f"not a readable MATLAB 7.3 file with {', '.join(keys)}: {error}") from error
