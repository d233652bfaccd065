"""Trying on outfits that are passed in rather than configured; a rejection is a result that contains its last state."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.errors import ConfigError, SequenceRejected
from mviper.registry import GARMENTS, SIMULATORS
from mviper.synthesis import Factory, complete_config, list_jobs, try_on
from mviper.synthesis.simulation import ClothSimulator
from mviper.synthesis.simulation.meshes import mean_by_group, merge_pairs


@SIMULATORS.register_module(force=True)
class TornCloth(ClothSimulator):
    """An engine that closes seams by force and whose cloth becomes NaN once it moves."""

    def sew(self, garment, placed, obstacles, fps):
        group = merge_pairs(garment.seams, len(placed))
        return mean_by_group(placed, group)[group]

    def simulate(self, sewn, body, fps, steps):
        return [np.full((len(body), len(piece.vertices), 3), np.nan) for piece in sewn]


def factory(**options: object) -> Factory:
    return Factory(
        complete_config(
            dict(
                source=dict(type="KeyPoseMotion", names="arms_down"), max_frames=4, min_seconds=0.1,
                lead_in=dict(frames=8, still=2), outfit=[], simulator=dict(type="PaintedCloth"),
            )
            | options
        )
    )  # fmt: skip


def tried(shop: Factory, *names: str, **design: object):
    outfit = [GARMENTS.build(dict(type=name, edge_length=0.05, **design)) for name in names]
    clip = list_jobs(shop.config)[0].clip
    return try_on(shop, clip, np.zeros(shop.body.num_betas), np.random.default_rng(0), outfit or None)


@pytest.mark.parametrize("own", [[], [dict(type="TankTop")]])
def test_a_given_outfit_is_worn_and_the_factory_keeps_its_own(own: list[dict]) -> None:
    shop = factory(outfit=own)
    before = list(shop.outfit)
    given = tried(shop, "Shorts")
    assert [mesh.name for mesh in given.result.meshes] == ["shorts"] and shop.outfit == before and not given.reason
    assert given.performance.lead_in == 8 + 2  # independent of the config's outfit
    assert len(given.result.meshes[0]) == len(given.performance.body) == 4 + 8 + 2


@pytest.mark.parametrize(("margin", "runs"), [(1e3, [10, 20, 30]), (1.0, [])])
def test_a_rejection_of_cloth_is_a_result(margin: float, runs: list[int]) -> None:
    """With the last run if the cloth moved; without it if a garment does not fit."""
    pytest.importorskip("bpy")
    limits = dict(stretch_top=margin, stretch_bottom=margin)
    shop = factory(simulator=dict(type="TornCloth", drape_frames=2, limits=limits))
    torn = tried(shop, "Shorts")
    assert [attempt.steps for attempt in torn.result.attempts] == runs and len(torn.result.meshes) == bool(runs)
    assert ("NaN vertices" if runs else "does not fit the body") in torn.reason and len(torn.garments) == 1


def test_a_body_without_a_pattern_is_no_result_nor_is_one_garment_twice() -> None:
    with pytest.raises(ConfigError, match="outfit: shorts twice"):
        tried(factory(), "Shorts", "Shorts")
    with pytest.raises(SequenceRejected, match="no pattern for this body: t_shirt: panel 'front'"):
        tried(factory(), "TShirt", length=(-1, -1))
