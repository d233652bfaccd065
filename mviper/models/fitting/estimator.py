"""SMPLify as an estimator: predicts what a network would, by fitting 2D joints."""

from __future__ import annotations

import inspect

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mviper.errors import ConfigError
from mviper.models.fitting.projection import Projection
from mviper.models.fitting.smplify import SMPLify, SMPLifySettings
from mviper.registry import MODELS
from mviper.sample import BodySample, turn_sample_back

#: Crop of a sample without ``crop``: crop units themselves.
_UNIT_CROP = (0.0, 0.0, 2.0)


@MODELS.register_module()
class SMPLifyEstimator(BaseModel):
    """Fits each test frame's 2D joints; it needs neither training nor a checkpoint.

    The camera is the crop's weak perspective (eq. 6), as for the networks: samples do not hold the focal length.

    Args:
        body_model: Body (registered ``SMPL``).
        temporal: Whether a sample is one track, with one shape and smooth motion; otherwise frames are fitted
            independently, as in the paper.
        fps: Frames per second of the samples, for ``temporal``.
        keypoints: The field of the samples to fit: (T, J, 3), x and y in crop units, third = confidence. The
            annotation, or the output of a detector's transform in the pipeline.
        settings: Changes to :class:`~mviper.models.fitting.SMPLifySettings` by name.
        data_preprocessor: As ``BodyDataPreprocessor``.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        body_model: dict,
        temporal: bool = False,
        fps: float = 30.0,
        keypoints: str = "keypoints2d",
        settings: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "BodyDataPreprocessor"}), init_cfg)
        self.body_model = MODELS.build(body_model)
        self.temporal, self.fps, self.keypoints = temporal, fps, keypoints
        known = inspect.signature(SMPLifySettings).parameters
        unknown = set(settings or {}) - set(known)
        if unknown:
            raise ConfigError(f"SMPLifyEstimator: unknown settings {sorted(unknown)}; known: {', '.join(known)}")
        self.settings = SMPLifySettings(**(settings or {}))
        self._fitter: SMPLify | None = None

    def forward(
        self, inputs: Tensor | list[Tensor], data_samples: list[BodySample] | None = None, mode: str = "predict"
    ) -> list[BodySample]:
        """Fits.

        Args:
            inputs: The pictures, not used.
            data_samples: Samples with the 2D joints.
            mode: ``'predict'``.

        Returns:
            The samples with their ``pred_*`` fields filled.

        Raises:
            ConfigError: Another mode, or samples without the 2D joints.
        """
        if mode != "predict":
            raise ConfigError(f"SMPLify has nothing to train: mode={mode!r}, expected 'predict'")
        if data_samples is None:
            raise ConfigError("SMPLify fits the 2D joints of samples: it needs data_samples")
        return self.predict(data_samples)

    @torch.no_grad()
    def predict(self, data_samples: list[BodySample]) -> list[BodySample]:
        """The samples with their ``pred_*`` fields filled (see ``BodySample``), and ``pred_transl`` (T, 3) [m]."""
        fitter, place = self._fitter, self.body_model.template
        if fitter is None or fitter.parts.rest.device != place.device:
            fitter = self._fitter = SMPLify(self.body_model, settings=self.settings)
        for sample in data_samples:
            if self.keypoints not in sample:
                raise ConfigError(f"SMPLify: the samples have no field '{self.keypoints}' with 2D joints to fit")
            turn_sample_back(sample)  # the camera is that of upright crops
            self._predict_one(sample, fitter, place)
        return data_samples

    def _predict_one(self, sample: BodySample, fitter: SMPLify, place: Tensor) -> None:
        keypoints = sample.get(self.keypoints).to(place)
        crops = torch.as_tensor(sample.get("crop", _UNIT_CROP)).to(place).expand(len(keypoints), 3)
        pixels = crops[:, None, :2] + keypoints[..., :2] * crops[:, None, 2:] / 2
        # In a track the camera stands still while the crop follows the person.
        camera = crops.median(0).values.expand_as(crops) if self.temporal else crops
        projection = Projection.of_crops(camera)
        fit = fitter.fit(
            torch.cat([pixels, keypoints[..., 2:]], -1),
            projection,
            tracks=[len(keypoints)] if self.temporal else None,
            fps=self.fps,
        )
        sample.set_data(
            {
                "pred_rotmat": fit.bodies.rotmat,
                "pred_betas": fit.bodies.betas,
                "pred_transl": fit.bodies.transl,
                "pred_camera": projection.weak_camera(fit.root, crops),
                "pred_keypoints3d": fit.joints - fit.joints[:, :1],
                "pred_keypoints2d": (fit.keypoints2d - crops[:, None, :2]) * 2 / crops[:, None, 2:],
            }
        )
