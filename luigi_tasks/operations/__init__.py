"""Operations: what a run leaves behind for whoever keeps a warehouse.

Runs and attempts are recorded here, what is due is decided, and alarms, metrics and logs are
written.
"""
