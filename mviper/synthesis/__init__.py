"""The factory: motion capture in, annotated videos of clothed people out."""
