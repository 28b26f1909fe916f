"""The one exception for a mistake that someone can act on."""


class TaxiError(Exception):
    """What was got, what was wanted and what to do about it, in one line."""
