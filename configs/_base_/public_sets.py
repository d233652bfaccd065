# The public sets of the paper's training mix (section 5), each converted first (docs/data_sets.md), and the share of a
# batch that each takes; the factory's videos, with which a config that inherits this begins the list, take the rest.
# The paper does not give shares; these are ours. Take out what you lack.
_shares = {
    "h36m/train": 0.2,
    "mpi_inf_3dhp/train": 0.1,
    "coco/train2017": 0.12,
    "mpii/train": 0.08,
    "lsp/train": 0.05,
    "lsp_extended/train": 0.05,
}
public_sets = [dict(type="HumanDataset", data_root="data/converted", ann_file=name) for name in _shares]
mix = dict(type="MixedDataset", ratios=[1 - sum(_shares.values()), *_shares.values()])
