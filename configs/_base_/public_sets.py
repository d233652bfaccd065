# The public sets of the paper's training mix (section 5), each converted first (docs/data_sets.md): ann_file -> share
# of a batch; the factory's videos take the rest. The paper does not give shares; these are ours.
public_sets = {
    "h36m/train": 0.2,
    "mpi_inf_3dhp/train": 0.1,
    "coco/train2017": 0.12,
    "mpii/train": 0.08,
    "lsp/train": 0.05,
    "lsp_extended/train": 0.05,
}
