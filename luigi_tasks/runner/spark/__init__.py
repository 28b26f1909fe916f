"""Months on the executors of a Spark cluster, each in a process of this package's own Python.

Spark only says which host takes which month, and takes it elsewhere if an executor is lost.
"""

from luigi_tasks.runner.spark.executor import MonthWork
from luigi_tasks.runner.spark.months import run_months
from luigi_tasks.runner.spark.session import check_requirements, spark_context

__all__ = ["MonthWork", "check_requirements", "run_months", "spark_context"]
