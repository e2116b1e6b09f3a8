from .dataset_page import write_dataset_page as write_dataset_page
from .report import write_report as write_report
