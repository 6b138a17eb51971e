"""People known by their dress: cook, knight, monk, king and others."""

from collections.abc import Mapping

from outofsight.worlds.subjects.measures import ArmPose, PersonPlan

CLASPED = ArmPose(pitch=0.42, roll=-0.28, elbow=1.05, swing=0.0)
STEEL = (0.68, 0.71, 0.76)

PROFESSIONS: Mapping[str, PersonPlan] = {
    "chef": PersonPlan(
        height_m=1.74,
        phrase="a chef in white",
        extras=(
            ("toque", "a tall hat"),
            ("apron", "a {gear} apron"),
        ),
        parts=("apron", "toque"),
        colours={
            "gear": ("red", "charcoal", "green", "blue"),
            "bottom": ("charcoal", "black"),
            "shoe": ("black",),
        },
        fixed={"top": (0.95, 0.95, 0.93), "hat": (0.97, 0.97, 0.95)},
        girth=1.25,
    ),
    "knight": PersonPlan(
        height_m=1.84,
        phrase="a knight in steel armour",
        extras=(
            ("helm", "a {trim} plume"),
            ("shield", "a {gear} shield"),
        ),
        parts=("armour", "helm", "shield", "belt"),
        colours={"gear": ("blue", "crimson", "green", "purple"), "trim": ("red", "yellow", "white")},
        fixed={"top": STEEL, "bottom": (0.52, 0.55, 0.60), "shoe": (0.55, 0.58, 0.63), "metal": STEEL},
        girth=1.10,
        hands="metal",
        shoulders=1.10,
        left=ArmPose(pitch=0.15, roll=0.25, elbow=0.9, swing=0.15),
    ),
    "monk": PersonPlan(
        height_m=1.72,
        phrase="a bald monk in a long {bottom} robe",
        parts=("belt",),
        colours={"bottom": ("orange", "crimson", "brown", "mustard"), "shoe": ("tan",)},
        fixed={"strap": (0.86, 0.78, 0.58)},
        hair=("bald",),
        legs="robe",
        left=CLASPED,
        right=CLASPED,
        gait_scale=0.8,
    ),
    "farmer": PersonPlan(
        height_m=1.77,
        phrase="a farmer in {bottom} dungarees",
        extras=(
            ("straw hat", "a straw hat"),
            ("pitchfork", "a pitchfork"),
        ),
        parts=("dungarees", "straw hat", "pitchfork"),
        colours={
            "top": ("red", "yellow", "green", "white"),
            "bottom": ("blue", "navy", "green"),
            "shoe": ("brown", "green"),
        },
        fixed={"hat": (0.90, 0.76, 0.42), "strap": (0.55, 0.20, 0.14)},
        girth=1.15,
        right=ArmPose(pitch=0.35, roll=0.18, elbow=0.95, swing=0.15),
    ),
    "firefighter": PersonPlan(
        height_m=1.82,
        phrase="a firefighter in a {top} suit",
        extras=(
            ("bands", "yellow bands"),
            ("fire helmet", "a {hat} helmet"),
        ),
        parts=("bands", "fire helmet", "belt"),
        colours={"top": ("tan", "charcoal", "mustard"), "hat": ("red", "white", "black")},
        fixed={"trim": (0.93, 0.92, 0.30), "bottom": (0.30, 0.26, 0.20), "shoe": (0.10, 0.10, 0.10)},
        girth=1.15,
        shoulders=1.08,
    ),
    "doctor": PersonPlan(
        height_m=1.70,
        phrase="a doctor in a white coat over {top} scrubs",
        bare_phrase="a doctor in {top} scrubs",
        same={"bottom": "top"},
        parts=("coat", "white coat", "stethoscope"),
        colours={"top": ("teal", "sky blue", "green", "violet"), "shoe": ("white",)},
        fixed={"coat": (0.95, 0.95, 0.95)},
        hair=("ponytail", "short", "bob", "curly"),
        left=ArmPose(pitch=0.1, roll=0.12, elbow=0.3, swing=0.6),
    ),
    "astronaut": PersonPlan(
        height_m=1.90,
        phrase="an astronaut in a white space suit with {trim} patches",
        parts=("space helmet", "tank", "belt"),
        colours={"trim": ("red", "blue", "orange")},
        fixed={"top": (0.93, 0.93, 0.92), "bottom": (0.90, 0.90, 0.90), "shoe": (0.42, 0.44, 0.48)}
        | {"gear": (0.80, 0.81, 0.83), "glass": (0.16, 0.12, 0.06)},
        hair=("short", "bald"),
        hands="shoe",
        girth=1.42,
        shoulders=1.12,
        leg_share=0.46,
        left=ArmPose(roll=0.30, elbow=0.5, swing=0.7),
        right=ArmPose(roll=0.30, elbow=0.5, swing=0.7),
        gait_scale=0.95,
    ),
    "ball_guest": PersonPlan(
        height_m=1.70,
        phrase="a woman in a long {bottom} ball gown",
        parts=("belt",),
        colours={
            "bottom": ("crimson", "turquoise", "violet", "mustard", "magenta"),
            "strap": ("white", "yellow"),
            "shoe": ("white",),
        },
        hair=("bun", "long", "curly"),
        sleeves="none",
        legs="robe",
        shoulders=0.86,
        girth=0.92,
        left=ArmPose(roll=0.3, elbow=0.5, swing=0.6),
        right=ArmPose(roll=0.3, elbow=0.5, swing=0.6),
        gait_scale=0.85,
    ),
    "king": PersonPlan(
        height_m=1.80,
        phrase="a king in a {top} tunic",
        extras=(
            ("crown", "a golden crown"),
            ("cape", "a long {gear} cape"),
        ),
        parts=("crown", "cape", "beard", "belt"),
        colours={
            "gear": ("red", "purple", "blue"),
            "top": ("cream", "sky blue", "crimson"),
            "bottom": ("white", "navy"),
        }
        | {"shoe": ("brown",)},
        fixed={"hat": (0.96, 0.78, 0.22), "strap": (0.96, 0.78, 0.22)},
        girth=1.28,
        gait_scale=0.9,
    ),
    "cowboy": PersonPlan(
        height_m=1.83,
        phrase="a cowboy in a {top} shirt",
        extras=(
            ("vest", "a {gear} waistcoat"),
            ("cowboy hat", "a {hat} hat"),
        ),
        parts=("vest", "cowboy hat", "belt"),
        colours={
            "gear": ("brown", "black"),
            "top": ("red", "sky blue", "cream", "green"),
            "bottom": ("blue", "navy"),
        }
        | {"hat": ("tan", "brown", "black", "white"), "shoe": ("brown",)},
        fixed={"trim": (0.80, 0.70, 0.45)},
        leg_share=0.505,
        left=ArmPose(roll=0.22, elbow=0.5),
        right=ArmPose(roll=0.22, elbow=0.5),
    ),
    "wizard": PersonPlan(
        height_m=1.80,
        phrase="a wizard in a {bottom} robe",
        extras=(
            ("wizard hat", "a pointed hat"),
            ("long beard", "a long beard"),
            ("staff", "a staff"),
        ),
        parts=("wizard hat", "long beard", "staff", "belt"),
        colours={"bottom": ("blue", "purple", "green", "navy"), "shoe": ("brown",)},
        fixed={"trim": (0.95, 0.82, 0.30), "strap": (0.95, 0.82, 0.30)},
        hair=("long",),
        legs="robe",
        old=True,
        right=ArmPose(pitch=0.45, roll=0.16, elbow=0.85, swing=0.2),
        gait_scale=0.85,
    ),
}
