"""Garments room of MVIPER; see docs/architecture.md."""
