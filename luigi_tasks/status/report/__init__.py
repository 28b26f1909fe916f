"""The report: one file of HTML that shows the warehouse, to be looked at, mailed and kept.

``loads``, ``trips``, ``places`` and ``rejects`` work out what to show, ``charts`` its paths;
``templates/`` has the page.
"""

from luigi_tasks.status.report.page import render, write_report

__all__ = ["render", "write_report"]
