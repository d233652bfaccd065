"""HTML pages, contact sheets and the paper's tables: the top layer, which nothing else in the package imports."""

from mviper.reports import page, tables
from mviper.reports.browse import motion_page, motion_sheet
from mviper.reports.comparison import compare_sequences
from mviper.reports.distributions import measure_distributions, write_dataset_page
from mviper.reports.metrics_page import write_metrics_page
from mviper.reports.production import annotated_sheet
from mviper.reports.recovery_page import write_recovery_page
from mviper.reports.report import write_report
from mviper.reports.runs import Run
from mviper.reports.wardrobe import dressed_views, labelled, pattern_picture, turning_pictures

__all__ = [
    "Run", "annotated_sheet", "compare_sequences", "dressed_views", "labelled", "measure_distributions",
    "motion_page", "motion_sheet", "page", "pattern_picture", "tables", "turning_pictures", "write_dataset_page",
    "write_metrics_page", "write_recovery_page", "write_report",
]  # fmt: skip
