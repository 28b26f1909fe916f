"""New York taxi trips in PostgreSQL, month by month, each trip once.

    TaxiPublished   a month's file, for the TLC to publish
    TaxiDownload    -> data/raw/                       the file, with a record of its edition
    TaxiTransform   -> data/trips/, data/rejects/      one schema for all eras, in a process
    TaxiStageLoad   -> public.green_trips_staging_…    binary COPY, fingerprints
    TaxiMerge       -> public.green_trips              each trip once; ledger; clean-up

    RangeMonthly --of TaxiMerge                        all of that for a range of months
    TaxiReset                                          takes a month out

``luigi --module luigi_tasks`` offers these. Settings are in ``luigi.cfg``.
"""

import logging

from luigi_tasks.config import use_packaged_defaults
from luigi_tasks.errors import OneLine, TaxiError
from luigi_tasks.tasks import (
    RangeMonthly,
    TaxiDownload,
    TaxiMerge,
    TaxiPublished,
    TaxiReset,
    TaxiStageLoad,
    TaxiTransform,
)

__all__ = [
    "RangeMonthly",
    "TaxiDownload",
    "TaxiError",
    "TaxiMerge",
    "TaxiPublished",
    "TaxiReset",
    "TaxiStageLoad",
    "TaxiTransform",
]

use_packaged_defaults()
logging.getLogger("luigi-interface").addFilter(OneLine())
