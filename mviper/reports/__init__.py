"""Pages and sheets that people look at, and the paper's tables: the top floor, which nothing in the package imports."""
