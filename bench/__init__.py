"""What the pipeline's work costs, and what the same work costs others.

Everything that is compared runs on the same rows, machine and server, in one run, each time in a
fresh database and in turns, so that noise meets all alike. Medians are reported.
"""
