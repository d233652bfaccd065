"""Visualization room of MVIPER; see docs/architecture.md."""
