"""The seven kinds of vehicles."""

from collections.abc import Mapping
from functools import partial

from outofsight.worlds.subjects.chassis import (
    bicycle_chassis,
    bus_chassis,
    car_chassis,
    forklift_chassis,
    forks,
    scooter_chassis,
    tractor_chassis,
    van_chassis,
)
from outofsight.worlds.subjects.kinds import Habit, Recipe
from outofsight.worlds.subjects.measures import PersonPlan
from outofsight.worlds.subjects.vehicles import (
    RiderPlan,
    VehiclePlan,
    WheelPlan,
    four_wheels,
    vehicle_figure,
    vehicle_pose,
)

CASUAL = {
    "top": ("red", "sky blue", "yellow", "magenta", "white"),
    "bottom": ("navy", "charcoal", "tan"),
    "shoe": ("white", "black"),
}
PAINTS = ("red", "blue", "yellow", "green", "white", "silver", "orange", "teal")

CYCLIST = PersonPlan(
    height_m=1.74,
    phrase="a cyclist",
    parts=("hard hat",),
    colours=CASUAL | {"hat": ("white", "red", "black")},
    sleeves="short",
    legs="shorts",
    hair=("short", "ponytail"),
)
SCOOTERIST = PersonPlan(
    height_m=1.70,
    phrase="a rider",
    parts=("coat", "space helmet"),
    colours=CASUAL | {"coat": ("brown", "black", "olive"), "trim": ("black",)},
    fixed={"glass": (0.15, 0.17, 0.2)},
    hair=("bald",),
)
DRIVER = PersonPlan(
    height_m=1.74,
    phrase="a driver",
    parts=("cap", "dungarees"),
    colours=CASUAL | {"hat": ("red", "green", "blue"), "bottom": ("blue", "navy")},
    hair=("short",),
)
OPERATOR = PersonPlan(
    height_m=1.72,
    phrase="an operator",
    parts=("vest", "hard hat"),
    colours=CASUAL | {"hat": ("white", "blue")},
    fixed={"gear": (1.0, 0.46, 0.08), "trim": (0.93, 0.95, 0.62)},
    hair=("short",),
)

PLANS: Mapping[str, VehiclePlan] = {
    "car": VehiclePlan(
        phrase="a {paint} car",
        chassis=car_chassis,
        wheels=four_wheels(1.28, -1.30, 0.825, 0.33, 0.11),
        colours={"paint": PAINTS},
    ),
    "van": VehiclePlan(
        phrase="a {paint} delivery van with a {stripe} band",
        chassis=van_chassis,
        wheels=four_wheels(1.48, -1.45, 0.885, 0.36, 0.12),
        colours={
            "paint": ("white", "yellow", "sky blue", "cream"),
            "stripe": ("red", "navy", "green", "purple"),
        },
    ),
    "bus": VehiclePlan(
        phrase="a {paint} bus",
        chassis=bus_chassis,
        wheels=four_wheels(2.45, -2.45, 1.10, 0.48, 0.15),
        colours={
            "paint": ("red", "blue", "green", "yellow", "turquoise"),
            "stripe": ("white", "navy", "cream"),
        },
        soft=0.004,
    ),
    "bicycle": VehiclePlan(
        phrase="a cyclist in a {top} shirt on a {paint} bicycle",
        chassis=bicycle_chassis,
        wheels=(
            WheelPlan(name="f", hub_m=(0.56, 0, 0.34), radius_m=0.34, half_width_m=0.02, hub_share=0.88),
            WheelPlan(name="b", hub_m=(-0.52, 0, 0.34), radius_m=0.34, half_width_m=0.02, hub_share=0.88),
        ),
        colours={"paint": ("red", "turquoise", "yellow", "black", "green")},
        rider=RiderPlan(
            person=CYCLIST,
            seat_m=(-0.20, 0.98),
            handle_m=(0.46, 0.02),
            feet_m=(0.1, -0.8),
            lean_rad=0.42,
            out_rad=0.10,
        ),
        crank=(-0.05, 0.30, 0.165),
        soft=0.0,
    ),
    "scooter": VehiclePlan(
        phrase="a {paint} motor scooter with a helmeted rider in a {coat} jacket",
        chassis=scooter_chassis,
        wheels=(
            WheelPlan(name="f", hub_m=(0.60, 0, 0.22), radius_m=0.22, half_width_m=0.05),
            WheelPlan(name="b", hub_m=(-0.56, 0, 0.22), radius_m=0.22, half_width_m=0.05),
        ),
        colours={"paint": ("red", "turquoise", "cream", "orange", "pink"), "stripe": ("black", "grey")},
        rider=RiderPlan(
            person=SCOOTERIST,
            seat_m=(-0.30, 0.87),
            handle_m=(0.54, 0.17),
            feet_m=(0.50, -0.555),
            lean_rad=0.10,
            out_rad=0.16,
        ),
        soft=0.004,
    ),
    "tractor": VehiclePlan(
        phrase="a {paint} tractor with its driver",
        chassis=tractor_chassis,
        wheels=(
            WheelPlan(
                name="lf", hub_m=(1.15, 0.62, 0.44), radius_m=0.44, half_width_m=0.14, steer_base_m=1.93
            ),
            WheelPlan(
                name="rf", hub_m=(1.15, -0.62, 0.44), radius_m=0.44, half_width_m=0.14, steer_base_m=1.93
            ),
            WheelPlan(name="lb", hub_m=(-0.78, 0.72, 0.80), radius_m=0.80, half_width_m=0.22),
            WheelPlan(name="rb", hub_m=(-0.78, -0.72, 0.80), radius_m=0.80, half_width_m=0.22),
        ),
        colours={"paint": ("green", "red", "blue", "orange")},
        fixed={"rim": (0.95, 0.80, 0.25)},
        rider=RiderPlan(
            person=DRIVER,
            seat_m=(-0.70, 1.44),
            handle_m=(0.48, 0.32),
            feet_m=(0.62, -0.42),
            lean_rad=0.05,
            out_rad=0.10,
        ),
        soft=0.012,
    ),
    "forklift": VehiclePlan(
        phrase="a {paint} forklift carrying a crate",
        chassis=forklift_chassis,
        wheels=four_wheels(0.48, -0.72, 0.46, 0.26, 0.10, rear_steered=True),
        colours={"paint": ("yellow", "orange", "red", "teal")},
        fixed={"gear": (0.72, 0.54, 0.33), "strap": (0.40, 0.28, 0.16), "glow": (1.0, 0.62, 0.10)},
        rider=RiderPlan(
            person=OPERATOR,
            seat_m=(-0.34, 1.22),
            handle_m=(0.42, 0.06),
            feet_m=(0.56, -0.46),
            lean_rad=0.04,
            out_rad=0.10,
        ),
        mast=forks,
        soft=0.004,
    ),
}


HABITS: Mapping[str, Habit] = {
    "car": Habit(
        noun="a car",
        walk_m_s=2.2,
        run_m_s=5.0,
        size_m=(1.45, 4.25, 2.05, 2.15),
        actions=("parked", "driving slowly", "driving"),
    ),
    "van": Habit(
        noun="a delivery van",
        walk_m_s=2.0,
        run_m_s=4.5,
        size_m=(2.2, 4.85, 2.05, 2.45),
        actions=("parked", "driving slowly", "driving"),
    ),
    "bus": Habit(
        noun="a bus",
        walk_m_s=2.0,
        run_m_s=4.5,
        size_m=(3.0, 8.1, 2.5, 4.05),
        actions=("parked", "driving slowly", "driving"),
    ),
    "bicycle": Habit(
        noun="a cyclist",
        walk_m_s=2.0,
        run_m_s=4.0,
        size_m=(1.85, 1.8, 0.6, 0.9),
        actions=("waiting", "cycling slowly", "cycling"),
    ),
    "scooter": Habit(
        noun="a motor scooter",
        walk_m_s=2.0,
        run_m_s=4.5,
        size_m=(1.8, 1.6, 0.75, 0.85),
        actions=("waiting", "riding slowly", "riding"),
    ),
    "tractor": Habit(
        noun="a tractor",
        walk_m_s=1.5,
        run_m_s=3.0,
        size_m=(2.6, 3.2, 1.9, 1.65),
        actions=("parked", "driving slowly", "driving"),
        held_out=True,
    ),
    "forklift": Habit(
        noun="a forklift",
        walk_m_s=1.2,
        run_m_s=2.4,
        size_m=(2.3, 3.1, 1.15, 1.95),
        actions=("parked", "driving slowly", "driving"),
    ),
}


def recipes() -> dict[str, Recipe]:
    """Make every vehicle's recipe, in catalogue order."""
    return {
        name: Recipe(
            kind=HABITS[name].kind(name, "vehicle"),
            figure=partial(vehicle_figure, plan),
            pose=partial(vehicle_pose, plan),
        )
        for name, plan in PLANS.items()
    }
