"""Base of the frame model and the video model: encode, decode phi into a body, losses, predictions."""

from __future__ import annotations

import abc
import hashlib
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mviper.errors import ConfigError
from mviper.models.weights import some
from mviper.registry import MODELS
from mviper.sample import BodySample, EncodedClip, turn_sample_back

#: Fields of ``BodySample`` that the losses use.
TARGET_FIELDS = ("keypoints2d", "keypoints3d", "smpl_rotmat", "betas", "has_keypoints3d", "has_smpl", "has_betas")
#: Fields that only some training data have: an adversarial prior's real bodies.
OPTIONAL_FIELDS = ("real_rotmat", "real_betas")


class BodyModelEstimator(BaseModel, metaclass=abc.ABCMeta):
    """Base of the estimators; ``forward`` dispatches to ``loss``, ``predict`` and ``tensor``.

    Args:
        backbone: Encoder.
        head: Regressor; takes the encoder's ``feature_dim`` unless it sets its own.
        body_model: Body (registered ``SMPL``).
        context: Module through which the encoder's features go first, e.g. ``WindowMLP``; None: head or neck see each
            frame's own.
        losses: Losses by name; the log calls them ``loss_<name>``. None for a model that only predicts; a single loss
            set to None is left out (``--cfg-options model.losses.smpl=None``).
        projection: Camera model of phi's camera, ``WeakPerspective`` (eq. 6) by default.
        data_preprocessor: Config of ``BodyDataPreprocessor``; mean and standard deviation default to the encoder's
            ``pixel_mean`` and ``pixel_std``, if it has them.
        test_cfg: Options of :meth:`predict`, see ``test_options`` of the subclass.
        init_cfg: mmengine's.
    """

    #: Options of ``test_cfg`` and their defaults.
    test_options: dict = {"chunk": 64}

    def __init__(
        self,
        backbone: dict,
        head: dict,
        body_model: dict,
        losses: dict[str, dict] | None = None,
        context: dict | None = None,
        projection: dict | None = None,
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # Built here: without a default scope mmengine would search only its own registry.
        encoder = MODELS.build(backbone)
        data_preprocessor = {"type": "BodyDataPreprocessor", **(data_preprocessor or {})}
        if hasattr(encoder, "pixel_mean"):
            data_preprocessor = {"mean": encoder.pixel_mean, "std": encoder.pixel_std, **data_preprocessor}
        super().__init__(MODELS.build(data_preprocessor), init_cfg)
        self.backbone = encoder
        self._encoder_id: str | None = None
        self.context = MODELS.build({"feature_dim": self.backbone.feature_dim, **context}) if context else None
        self.feature_dim = self.context.out_dim if self.context else self.backbone.feature_dim
        self.head = MODELS.build({"feature_dim": self.feature_dim, **head})
        self.body_model = MODELS.build(body_model)
        self.losses = nn.ModuleDict({name: MODELS.build(cfg) for name, cfg in (losses or {}).items() if cfg})
        self.projection = MODELS.build(projection or {"type": "WeakPerspective"})
        unknown = set(test_cfg or {}) - set(self.test_options)
        if unknown:
            raise ConfigError(
                f"{type(self).__name__}: unknown test_cfg {sorted(unknown)}; known: {sorted(self.test_options)}"
            )
        self.test_cfg = {**self.test_options, **(test_cfg or {})}
        if self.data_preprocessor.channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        self.register_load_state_dict_post_hook(_refuse_half_a_frame_model)
        self.register_load_state_dict_post_hook(_forget_the_encoders_hash)

    def _dump_init_info(self) -> None:
        """Does nothing: mmengine would log two lines for each of some hundred parameters."""

    def forward(
        self,
        inputs: Tensor | EncodedClip | list[Tensor],
        data_samples: list[BodySample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[BodySample]:
        """Runs the model.

        Args:
            inputs: (B, T, 3, S, S): normalised float, or uint8, which is normalised here; for ``'predict'`` also a list
                of (T, 3, S, S) of unequal T. Instead of pictures also an ``EncodedClip``, the encoder's output.
            data_samples: One ``BodySample`` per clip; for ``'predict'`` None creates new ones.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            ``'loss'``: losses by name. ``'predict'``: the samples with their ``pred_*`` fields filled. ``'tensor'``:
            ``pred_*`` by name, (B, T, ...).

        Raises:
            ValueError: Unknown mode, clips of unequal length in a mode other than ``'predict'``, no samples for
                ``'loss'``.
        """
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode not in ("loss", "tensor"):
            raise ValueError(f"mode={mode!r}, expected 'loss', 'predict' or 'tensor'")
        if isinstance(inputs, list):
            raise ValueError(f"mode={mode!r} takes one tensor (B, T, 3, S, S); a list of clips is for 'predict'")
        if mode == "tensor":
            return self.decode(self.regress(inputs))
        if data_samples is None:
            raise ValueError("mode='loss' needs data_samples, one for each clip")
        return self.loss(inputs, data_samples)

    @property
    def recurrent(self) -> bool:
        """Whether phi depends on the frames before a clip, so that :meth:`walk` has a memory."""
        return False

    @abc.abstractmethod
    def walk(self, clips: Tensor | EncodedClip, memory: Any = None) -> tuple[Tensor, Any]:
        """See :class:`~mviper.models.estimators.ClipNetwork`; clips may also be normalised floats."""

    def regress(self, inputs: Tensor | EncodedClip) -> Tensor:
        """Phi of each frame of the clips.

        Args:
            inputs: (B, T, 3, S, S).

        Returns:
            (B, T, 157).
        """
        return self.walk(inputs)[0]

    def regress_sequences(self, inputs: Tensor | EncodedClip) -> Tensor:
        """Phi of each frame of whole sequences, following ``test_cfg``; at most a chunk is encoded at once.

        Args:
            inputs: (B, T, 3, S, S).

        Returns:
            (B, T, 157).
        """
        steps, memory, size = [], None, self._chunk(batch_of(inputs))
        if self.context and not isinstance(inputs, EncodedClip):  # a chunk's last frames see the first of the next
            features, maps = zip(*(self.encode(part) for part in split_frames(inputs, size)))
            inputs = EncodedClip(torch.cat(features, 1), torch.cat(maps, 1), self.encoder_id)
        for part in [inputs] if self.context else split_frames(inputs, size):
            phi, memory = self.walk(part, memory)
            steps.append(phi)
        return torch.cat(steps, 1)

    def _chunk(self, batch: int) -> int:
        """Frames per sequence so that ``batch`` sequences make up about ``test_cfg.chunk`` frames."""
        return max(1, self.test_cfg["chunk"] // batch)

    def in_context(self, features: Tensor, maps: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Takes features through ``context``.

        Args:
            features: Of a clip's frames, from :meth:`encode`, (B, T, D); with the frames around it, where training data
                have them.
            maps: The clip's, (B, T, L, D_map).
            past: Those of the frames before, as returned for the clip before; None at a video's start. Frames after the
                clip are not known: its last one stands for them.

        Returns:
            Features (B, T, ``feature_dim``), and the clip's last ones for the next; None without a context.
        """
        if self.context is None:
            return features, None
        if features.shape[1] != maps.shape[1]:
            return self.context(features, maps), None
        reach = self.context.reach
        seen = features if past is None else torch.cat([past, features], 1)
        result = self.context(seen)[:, seen.shape[1] - features.shape[1] :]
        if (missing := reach - seen.shape[1]) > 0:
            seen = torch.cat([seen[:, :1].expand(-1, missing, -1), seen], 1)
        return result, seen[:, -reach:]

    def encode(self, inputs: Tensor | EncodedClip) -> tuple[Tensor, Tensor]:
        """Encodes clips, frame by frame.

        Args:
            inputs: (B, T, 3, S, S), normalised float or uint8, on any device; or an ``EncodedClip`` of (B, T, ...),
                already encoded.

        Returns:
            Features (B, T, D) and maps (B, T, L, D_map).
        """
        if isinstance(inputs, EncodedClip):
            if inputs.encoder != self.encoder_id:
                made, own = inputs.encoder[:12], self.encoder_id[:12]
                raise ConfigError(
                    "the stored features come from another encoder, other weights or other normalisation: "
                    f"made by {made}, the model's is {own}. Run tools/extract_features.py CONFIG again, with "
                    "--checkpoint if the encoder was fine-tuned"
                )
            device = self.head.mean_phi.device
            return inputs.features.to(device), inputs.maps.to(device)
        # Neither unflatten nor shape[:2]: export tracing would turn their sizes into constants.
        lead = inputs.shape[0], inputs.shape[1]
        features, maps = self.encode_frames(inputs.flatten(0, 1))
        return features.reshape(*lead, *features.shape[1:]), maps.reshape(*lead, *maps.shape[1:])

    def encode_frames(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) and maps (N, L, D_map) of pictures (N, 3, S, S), see :meth:`encode`."""
        images = images.to(self.head.mean_phi.device)
        if images.dtype == torch.uint8:
            images = self.data_preprocessor.normalise(images)
        return self.backbone(images)

    @property
    def encoder_id(self) -> str:
        """Hash of the encoder, its weights and the pictures' normalisation; stored features are valid for it alone.

        Raises:
            ConfigError: The encoder is trainable, so stored features would become outdated.
        """
        if self._encoder_id is None:
            learning = [name for name, parameter in self.backbone.named_parameters() if parameter.requires_grad]
            if learning:
                raise ConfigError(
                    f"stored features need a frozen encoder; {some(learning)} of {type(self.backbone).__name__} learn: "
                    "set model.backbone.frozen_stages to all of them"
                )
            self._encoder_id = getattr(self.backbone, "identity", None)
        if self._encoder_id is None:
            digest = hashlib.sha256(f"{type(self.backbone).__name__}({self.backbone.extra_repr()})".encode())
            tensors = [*self.backbone.named_parameters(), *self.backbone.named_buffers()]
            tensors += [(name, getattr(self.data_preprocessor, name)) for name in ("mean", "std")]
            for name, tensor in sorted(tensors, key=lambda item: item[0]):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
            self._encoder_id = digest.hexdigest()
        return self._encoder_id

    def decode(self, phi: Tensor) -> dict[str, Tensor]:
        """Poses the body and projects its joints (eq. 6), in float32 even under autocast.

        Args:
            phi: (B, T, 157).

        Returns:
            ``pred_rotmat`` (B, T, 24, 3, 3), ``pred_betas`` (B, T, 10), ``pred_camera`` (B, T, 3) of eq. 6,
            ``pred_keypoints3d`` (B, T, J, 3) [m] relative to SMPL joint 0, ``pred_keypoints2d`` (B, T, J, 2) in crop
            units.
        """
        with torch.autocast(phi.device.type, enabled=False):
            rotmat, betas, camera = self.head.parameters_of(phi)
            joints = self.body_model(betas.flatten(0, 1), rotmat.flatten(0, 1), return_vertices=False).joints
            joints = joints.unflatten(0, phi.shape[:2])
            keypoints2d, camera = self.projection(joints, camera)
            return {
                "pred_rotmat": rotmat,
                "pred_betas": betas,
                "pred_camera": camera,
                "pred_keypoints3d": joints - joints[:, :, :1],
                "pred_keypoints2d": keypoints2d,
            }

    def loss(self, inputs: Tensor | EncodedClip, data_samples: list[BodySample]) -> dict[str, Tensor]:
        """Losses of a batch of clips (eq. 10, 19).

        Args:
            inputs: (B, T, 3, S, S).
            data_samples: B samples with the fields of ``TARGET_FIELDS``.

        Returns:
            ``loss_<name>``: scalar; a loss with several terms names each of them.
        """
        prediction = self.decode(self.regress(inputs))
        fields = TARGET_FIELDS + tuple(field for field in OPTIONAL_FIELDS if field in data_samples[0])
        target = {field: torch.stack([sample.get(field) for sample in data_samples]) for field in fields}
        terms: dict[str, Tensor] = {}
        with torch.autocast(self.head.mean_phi.device.type, enabled=False):
            for name, loss in self.losses.items():
                value, weight = loss(prediction, target), self.weight_of(loss)
                values = value if isinstance(value, dict) else {name: value}
                terms |= {f"loss_{term}": weight * part for term, part in values.items()}
        return terms

    def weight_of(self, loss: nn.Module) -> float:
        """Factor of a loss in the total, on top of its own weight."""
        return 1.0

    @torch.no_grad()
    def predict(
        self, inputs: Tensor | EncodedClip | list[Tensor], data_samples: list[BodySample] | None = None
    ) -> list[BodySample]:
        """Predicts whole sequences of any length.

        Args:
            inputs: (B, T, 3, S, S), or a list of (T, 3, S, S) of unequal T; normalised float or uint8.
            data_samples: B samples, or None.

        Returns:
            The samples, their ``pred_*`` fields filled. For rotated crops, prediction and annotation are rotated back
            (:func:`mviper.sample.turn_back`).
        """
        samples = data_samples or [BodySample() for _ in range(batch_of(inputs))]
        if not isinstance(inputs, (Tensor, EncodedClip)):
            return [self.predict(clip[None], [sample])[0] for clip, sample in zip(inputs, samples)]
        phi = self.regress_sequences(inputs)
        chunks = [self.decode(part) for part in phi.split(self._chunk(len(phi)), 1)]
        prediction = {key: torch.cat([chunk[key] for chunk in chunks], 1) for key in chunks[0]}
        for index, sample in enumerate(samples):
            sample.set_data({key: value[index] for key, value in prediction.items()})
            turn_sample_back(sample)
        return samples


def batch_of(inputs: Tensor | list[Tensor] | EncodedClip) -> int:
    """B."""
    return len(inputs.features if isinstance(inputs, EncodedClip) else inputs)


def split_frames(inputs: Tensor | EncodedClip, size: int) -> list[Tensor | EncodedClip]:
    """Clips (B, T, ...) in parts of at most ``size`` frames."""
    if isinstance(inputs, EncodedClip):
        parts = zip(inputs.features.split(size, 1), inputs.maps.split(size, 1))
        return [EncodedClip(*part, inputs.encoder) for part in parts]
    return list(inputs.split(size, 1))


def _forget_the_encoders_hash(model: BodyModelEstimator, _: object) -> None:
    model._encoder_id = None


def _refuse_half_a_frame_model(model: nn.Module, keys: Any) -> None:
    """Weights may lack the neck, as the frame model's do, but no part of encoder and regressor."""
    missing = [
        key
        for key in keys.missing_keys
        if key.split(".")[0] in ("backbone", "head") and "num_batches_tracked" not in key
    ]
    if missing:
        raise ConfigError(f"weights of another model than {type(model).__name__}: they lack {some(missing)}")
