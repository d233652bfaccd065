"""HMR-dagger: the trained HMR and its prior, fine-tuned on the factory's simulated clothes."""

_base_ = ["hmr_r50.py"]

load_from = "work_dirs/hmr_r50"  # of configs/hmr_r50.py

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            **_base_.train_dataloader.dataset.dataset.shared,
            type="SyntheticHumanVideo",
            data_root=_base_.data_root,
            split="train",
            synthesis_config=_base_.synthesis_config,
        ),
    ),
)
train_cfg = dict(max_iters=50_000)
