"""Interface of a data set beyond its items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from mviper.sample import BodySample


@runtime_checkable
class AnnotatedDataset(Protocol):
    """A map-style data set of clips, e.g. your own, that trains and tests like the project's.

    An item is ``dict(inputs=..., data_sample=BodySample)`` (docs/architecture.md). Random numbers must come from
    numpy's, torch's or Python's global generators, which loaders seed (``mviper.engine.SeededItems``: by position in
    training only).

    Only phi_0 (``MeanPhiHook``), the mean pose of a test and ``MixedDataset`` need the members below.
    """

    @property
    def body_model(self) -> str:
        """``name:sha256`` of the body that the betas belong to."""

    @property
    def metainfo(self) -> dict:
        """``dataset`` (its name), ``keypoints``, ``body_model``, ``views`` and ``frames`` (their numbers)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict: ...

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """The annotation of every frame, in any number of samples, without decoding pictures.

        Args:
            frame_step: Takes every n-th frame of a video, or still.
        """


def gather_annotations(dataset: AnnotatedDataset, frame_step: int = 1) -> dict[str, np.ndarray]:
    """A data set's annotation as arrays over all frames, e.g. for the mean phi.

    Args:
        dataset: The data set.
        frame_step: Takes every n-th frame.

    Returns:
        ``keypoints2d`` (N, J, 3) in crop units with chi, ``keypoints3d`` (N, J, 4), ``betas`` (N, B), ``has_betas``
        (N,), and ``smpl_rotmat`` (M, 24, 3, 3) of the frames that have it.
    """
    fields: dict[str, list[np.ndarray]] = {
        name: [] for name in ("keypoints2d", "keypoints3d", "smpl_rotmat", "betas", "has_betas")
    }
    for sample in dataset.annotation_samples(frame_step):
        for name, values in fields.items():
            value = getattr(sample, name).numpy()
            if name == "smpl_rotmat" and not sample.has_smpl:
                value = value[:0]
            values.append(value if value.ndim else np.repeat(value, len(sample.frame_indices)))
    return {name: np.concatenate(values) for name, values in fields.items()}
