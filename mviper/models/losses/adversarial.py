"""HMR's adversarial prior on pose and shape (Kanazawa et al., "End-to-end Recovery of Human Shape and Pose", 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mviper.errors import MissingDataError
from mviper.registry import MODELS
from mviper.structures import SMPL_JOINTS


@MODELS.register_module()
class SMPLDiscriminator(nn.Module):
    """K + 2 small discriminators of pose and shape (HMR, section 3.3); factorised, they need less data.

    Each joint's rotation matrix passes two fully connected layers that all joints share (1 x 1 convolutions over the
    joints). Each of the K joints is judged on its own features, the whole pose on all features together, the shape on
    its betas.

    Args:
        num_joints: K, joints but the root.
        num_betas: Shape coefficients.
        features: Width of the shared layers.
        pose_hidden: Width of the two hidden layers that see the whole pose.
        shape_hidden: Widths of the hidden layers that see the betas.
    """

    def __init__(
        self,
        num_joints: int = len(SMPL_JOINTS) - 1,
        num_betas: int = 10,
        features: int = 32,
        pose_hidden: int = 1024,
        shape_hidden: Sequence[int] = (10, 5),
    ) -> None:
        super().__init__()
        self.shared = _mlp(9, features, features)
        self.joint_weight = nn.Parameter(torch.empty(num_joints, features))
        self.joint_bias = nn.Parameter(torch.zeros(num_joints))
        nn.init.uniform_(self.joint_weight, -(features**-0.5), features**-0.5)
        self.pose = nn.Sequential(
            _mlp(num_joints * features, pose_hidden, pose_hidden), nn.ReLU(), nn.Linear(pose_hidden, 1)
        )
        self.shape = nn.Sequential(_mlp(num_betas, *shape_hidden), nn.ReLU(), nn.Linear(shape_hidden[-1], 1))

    def forward(self, rotmat: Tensor, betas: Tensor) -> Tensor:
        """Scores bodies; the target is 1 for real ones, 0 for others.

        Args:
            rotmat: Joints but the root, (N, K, 3, 3).
            betas: (N, B).

        Returns:
            (N, K + 2): joint by joint, whole pose, shape.
        """
        features = self.shared(rotmat.flatten(2))  # (N, K, F)
        joints = torch.einsum("nkf,kf->nk", features, self.joint_weight) + self.joint_bias
        return torch.cat([joints, self.pose(features.flatten(1)), self.shape(betas)], 1)


def _mlp(first: int, *widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers = []
    for width in widths:
        layers += [nn.Linear(first, width), nn.ReLU()]
        first = width
    return nn.Sequential(*layers[:-1])


@MODELS.register_module()
class AdversarialLoss(nn.Module):
    """Least-squares GAN over predictions and unpaired real bodies (HMR, eq. 3 and 4).

    Encoder: ``sum_i E[(D_i(prediction) - 1)^2]``; discriminators: ``sum_i E[(D_i(real) - 1)^2] + E[D_i(prediction)^2]``
    over the K + 2 discriminators, means over frames. Both terms share one backward pass without affecting each other's
    weights: the encoder's term treats the discriminators' weights as constants, the discriminators' term the
    prediction. So one pass serves both optimisers (``SeparateOptimizers``), also in distributed training. The
    discriminators see the last step of the error feedback.

    Args:
        discriminator: Config of the discriminators.
        loss_weight: Factor of the encoder's term; in HMR the other terms have 60 times its weight.
    """

    def __init__(self, discriminator: dict | None = None, loss_weight: float = 1 / 60) -> None:
        super().__init__()
        self.discriminator = MODELS.build(discriminator or {"type": "SMPLDiscriminator"})
        self.loss_weight = loss_weight

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Computes both terms.

        Args:
            prediction: ``pred_rotmat`` (B, T, 24, 3, 3) and ``pred_betas`` (B, T, 10).
            target: ``real_rotmat`` (B, T, 23, 3, 3) and ``real_betas`` (B, T, 10).

        Returns:
            ``adversarial`` (the encoder's) and ``discriminator``, scalars.

        Raises:
            MissingDataError: The samples carry no real bodies.
        """
        if "real_rotmat" not in target:
            raise MissingDataError(
                "AdversarialLoss: the samples carry no real poses; wrap the training data set: "
                "dict(type='AdversarialDataset', dataset=..., poses=dict(type='PoseLibrary', data_root=..., files=...))"
            )
        fake = (prediction["pred_rotmat"][:, :, 1:].flatten(0, 1), prediction["pred_betas"].flatten(0, 1))
        real = (target["real_rotmat"].flatten(0, 1), target["real_betas"].flatten(0, 1))
        constants = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        adversarial = _squares(functional_call(self.discriminator, constants, fake) - 1)
        of_real, of_fake = self.discriminator(*real), self.discriminator(*(part.detach() for part in fake))
        return {
            "adversarial": self.loss_weight * adversarial,
            "discriminator": _squares(of_real - 1) + _squares(of_fake),
        }


def _squares(scores: Tensor) -> Tensor:
    """Sum over discriminators of the mean square over frames."""
    return scores.square().sum(1).mean()
