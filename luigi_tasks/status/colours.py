"""The colours of services, states and amounts, for terminal and page: one place for all of them.

Services and states have Okabe and Ito's, which colour-blind readers can tell apart; amounts have
one ramp of lightness.
"""

from luigi_tasks.operations import due

#: Each service's colour, the same in every picture.
SERVICES = {
    "yellow": "#e69f00",
    "green": "#009e73",
    "fhv": "#0072b2",
    "fhvhv": "#cc79a7",
}
#: The letter, the colour of the text and that of the ground of each state, in the order in which
#: they need somebody. What is well, or can't be helped, has no colours of its own.
STATES: dict[str, tuple[str, str, str]] = {
    due.FAILED: ("F", "#000000", "#d55e00"),
    due.MISSING: ("X", "#000000", "#e69f00"),
    due.CORRECTED: ("C", "#000000", "#56b4e9"),
    due.OVERDUE: ("O", "#000000", "#f0e442"),
    "suspicious": ("S", "#000000", "#cc79a7"),
    "running": ("R", "#ffffff", "#0072b2"),
    due.UNPUBLISHED: ("N", "", ""),
    "merged": ("M", "", ""),
}
#: Amounts from few to many: darker on a light ground, lighter on a dark one (there it is cividis).
ON_LIGHT = (
    "#eef3f8",
    "#d8e4f0",
    "#b9d0e6",
    "#92b6d7",
    "#6899c5",
    "#3d74a8",
    "#285c91",
    "#143d6b",
)
ON_DARK = (
    "#00224e",
    "#1e3a6e",
    "#434e6c",
    "#5f646f",
    "#74746f",
    "#9e9673",
    "#c4b463",
    "#fee838",
)
#: The steps of a load, from the first to the last: greys and blues that no service has.
STEPS = {
    "download": "#8a99ad",
    "transform": "#56b4e9",
    "stage": "#3b5b92",
    "merge": "#b8a25a",
}
