"""Random outfits: which garments, how often, which one is the inner layer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mviper.config import load_config
from mviper.errors import ConfigError
from mviper.registry import OUTFITS
from mviper.synthesis import Factory, complete_config

CONFIG = dict(
    type="RandomOutfit",
    tops=[dict(type="TShirt"), dict(type="TankTop")],
    bottoms=[dict(type="Trousers"), dict(type="Shorts"), dict(type="PencilSkirt")],
    whole=[dict(type="Dress")],
)


def drawn(count: int = 600, **options: object) -> list[tuple[str, ...]]:
    outfit, rng = OUTFITS.build({**CONFIG, **options}), np.random.default_rng(0)
    return [tuple(garment.name for garment in outfit.draw(rng)) for _ in range(count)]


def test_shares_are_as_asked_for() -> None:
    outfits = drawn(share=0.25)
    assert np.mean([len(outfit) == 1 for outfit in outfits]) == pytest.approx(0.25, abs=0.05)
    pairs = Counter(outfit for outfit in outfits if len(outfit) == 2)
    assert len(pairs) == 6
    assert min(pairs.values()) > 0.6 * 0.75 * 600 / 6


def test_top_is_outside_unless_tucked() -> None:
    assert all(outfit[1] in ("t_shirt", "tank_top") for outfit in drawn(share=0.0))
    assert all(outfit[0] in ("t_shirt", "tank_top") for outfit in drawn(share=0.0, tucked=1.0))


def test_without_whole_pieces_or_pairs() -> None:
    assert all(len(outfit) == 2 for outfit in drawn(50, whole=[]))
    assert set(drawn(50, tops=[], bottoms=[])) == {("dress",)}


def test_same_seed_gives_the_same_outfits() -> None:
    assert drawn(20) == drawn(20)


def test_impossible_outfits_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs tops and bottoms, or one-piece garments"):
        OUTFITS.build({**CONFIG, "bottoms": []})
    with pytest.raises(ConfigError, match="needs tops and bottoms, or one-piece garments"):
        OUTFITS.build(dict(type="RandomOutfit"))
    with pytest.raises(ConfigError, match="probabilities"):
        OUTFITS.build({**CONFIG, "share": 1.5})
    with pytest.raises(ConfigError, match="t_shirt is in both tops and bottoms"):
        OUTFITS.build({**CONFIG, "bottoms": [dict(type="TShirt")]})
    twice = [dict(type="TankTop"), dict(type="TShirt", ease=(0.1, 0.1)), dict(type="TShirt")]
    with pytest.raises(ConfigError, match="outfit: t_shirt twice"):
        Factory(complete_config(dict(source=dict(type="KeyPoseMotion"), outfit=twice)))


def test_factory_takes_a_random_outfit_from_a_config(repository, tmp_path) -> None:
    path = tmp_path / "random.py"
    base = repository / "configs" / "synthesis" / "deepmimic.py"
    path.write_text(f"_base_ = [{str(base)!r}]\noutfit = dict(_delete_=True, **{CONFIG!r})\n")
    factory = Factory(complete_config(load_config(path).to_dict()))
    names = {tuple(piece.name for piece in factory.outfit.draw(np.random.default_rng(seed))) for seed in range(20)}
    assert len(names) > 3


def test_misspelt_garment_of_a_random_outfit_is_refused_with_its_place(repository, tmp_path) -> None:
    path = tmp_path / "random.py"
    base = repository / "configs" / "synthesis" / "deepmimic.py"
    outfit = {**CONFIG, "tops": [dict(type="TShrit")]}
    path.write_text(f"_base_ = [{str(base)!r}]\noutfit = dict(_delete_=True, **{outfit!r})\n")
    with pytest.raises(ConfigError, match=r"outfit\.tops\[0\]\.type: there is no garment 'TShrit'"):
        load_config(path)
