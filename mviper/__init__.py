"""MVIPER: clothed-human video synthesis and temporally coherent full-body mesh recovery.

The package has two halves that meet in files on disk: ``mviper.synthesis`` turns motion capture into annotated
videos, ``mviper.models`` and its neighbours learn from them. See ``docs/architecture.md``.
"""

__version__ = "0.1.0"
