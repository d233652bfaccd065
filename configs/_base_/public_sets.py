# The public sets that the paper trains on in addition to its own data (section 4.3), each converted first
# (docs/data_sets.md), and each one's share of a batch; the factory's videos, which inheriting configs put first in the
# list, take the rest. The paper gives no shares; these are our choice. A missing set stops the training with the
# command that makes it. To train without it (recorded in the checkpoint):
#   --cfg-options train_dataloader.dataset.leave_out_missing=True
_shares = {
    "h36m/train": 0.2,
    "mpi_inf_3dhp/train": 0.1,
    "coco/train2017": 0.12,
    "mpii/train": 0.08,
    "lsp/train": 0.05,
    "lsp_extended/train": 0.05,
}
public_sets = [dict(type="HumanDataset", data_root="data/converted", ann_file=name) for name in _shares]
public_shares = list(_shares.values())
mix = dict(type="MixedDataset", ratios=[1 - sum(public_shares), *public_shares], leave_out_missing=False)
