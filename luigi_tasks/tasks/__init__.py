"""The tasks: what ``luigi --module luigi_tasks`` offers.

Only this package and the commands read the settings.
"""

from luigi_tasks.tasks.chain import (
    TaxiDownload,
    TaxiMerge,
    TaxiMonth,
    TaxiPublished,
    TaxiStageLoad,
    TaxiTransform,
)
from luigi_tasks.tasks.derived import TaxiDerivedTable
from luigi_tasks.tasks.due import TaxiDue
from luigi_tasks.tasks.features import TaxiFeatures
from luigi_tasks.tasks.lake import TaxiLake
from luigi_tasks.tasks.ranges import RangeMonthly
from luigi_tasks.tasks.report import TaxiReport
from luigi_tasks.tasks.spark import TaxiSpark
from luigi_tasks.tasks.upkeep import TaxiRefresh, TaxiReset, TaxiZones
from luigi_tasks.tasks.verify import TaxiVerify

__all__ = [
    "RangeMonthly",
    "TaxiDerivedTable",
    "TaxiDownload",
    "TaxiDue",
    "TaxiFeatures",
    "TaxiLake",
    "TaxiMerge",
    "TaxiMonth",
    "TaxiPublished",
    "TaxiRefresh",
    "TaxiReport",
    "TaxiReset",
    "TaxiSpark",
    "TaxiStageLoad",
    "TaxiTransform",
    "TaxiVerify",
    "TaxiZones",
]
