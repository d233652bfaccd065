# Clips held out from all learning: no network, pose prior, calibration or interpolation uses them, not even another
# file of the same take. In a library that has a clip twice, the second one is called <name>_<number>.
_test = [
    "dance_b", "kick", "cartwheel", "getup_facedown", "07_12", "09_06", "49_19", "131_04", "zombie", "charleston2",
    "13_26", "jumping_jacks", "wave_hello", "indian_08", "martial_06", "martial_10", "salsa_05", "salsa_10", "salsa_15",
    "salsa_20", "salsa_25", "salsa_30",
]  # fmt: skip
_val = ["jump", "spinkick", "07_02", "dab", "49_20", "indian_14", "martial_03", "salsa_09", "salsa_24"]
held_out = dict(
    test=_test + [name + "_[0-9]" for name in _test],
    val=_val + [name + "_[0-9]" for name in _val],
)
# Hard test clips: on the floor, upside down, fast.
hard_test = ["kick", "cartwheel", "getup_facedown", "49_19", "martial_06", "martial_10", "dance_b"]
