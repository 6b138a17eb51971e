"""People one meets in the street: what they wear and carry."""

from collections.abc import Mapping

from outofsight.worlds.subjects.measures import ArmPose, PersonPlan

CARRY = ArmPose(pitch=0.0, roll=0.12, elbow=0.12, swing=0.25)
POLE = ArmPose(pitch=0.25, roll=0.14, elbow=0.75, swing=0.25)
HUG = ArmPose(pitch=0.45, roll=0.16, elbow=1.15, swing=0.0)
ALOFT = ArmPose(pitch=0.35, roll=0.10, elbow=1.75, swing=0.03)

TOWNSPEOPLE: Mapping[str, PersonPlan] = {
    "hiker": PersonPlan(
        height_m=1.78,
        phrase="a hiker in a {top} jacket",
        extras=(
            ("backpack", "a {gear} backpack"),
            ("stick", "a walking stick"),
        ),
        parts=("backpack", "sun hat", "stick", "belt"),
        colours={
            "top": ("orange", "teal", "lime", "red"),
            "bottom": ("olive", "tan", "grey"),
            "shoe": ("brown",),
        }
        | {"gear": ("blue", "green", "purple", "crimson"), "hat": ("tan", "olive")},
        right=POLE,
    ),
    "businessman": PersonPlan(
        height_m=1.82,
        phrase="a businessman in a {coat} suit",
        bare_phrase="a businessman in a {top} shirt and a tie",
        same={"bottom": "coat"},
        extras=(("briefcase", "a {gear} briefcase"),),
        parts=("coat", "blazer", "tie", "briefcase"),
        colours={
            "coat": ("navy", "charcoal", "grey"),
            "top": ("white", "sky blue"),
            "trim": ("red", "mustard", "purple"),
        }
        | {"bottom": ("charcoal", "navy"), "shoe": ("black",), "gear": ("brown", "tan", "black")},
        hair=("short", "bald"),
        left=CARRY,
    ),
    "office_worker": PersonPlan(
        height_m=1.67,
        phrase="a woman in a {coat} blazer and a {bottom} skirt",
        bare_phrase="a woman in a {top} blouse and a {bottom} skirt",
        extras=(("handbag", "a {gear} handbag"),),
        parts=("coat", "blazer", "handbag"),
        colours={
            "coat": ("crimson", "teal", "violet", "cream"),
            "top": ("white", "cream"),
            "bottom": ("black", "navy"),
        }
        | {"shoe": ("black", "red"), "gear": ("tan", "red", "mustard")},
        hair=("bun", "bob", "long"),
        legs="skirt",
        shoulders=0.88,
        girth=0.92,
        left=CARRY,
        gait_scale=0.82,
    ),
    "builder": PersonPlan(
        height_m=1.80,
        phrase="a builder in a {top} shirt",
        extras=(
            ("vest", "an orange vest"),
            ("hard hat", "a {hat} hard hat"),
            ("toolbox", "a toolbox"),
        ),
        parts=("vest", "hard hat", "toolbox", "belt"),
        colours={"top": ("navy", "grey", "blue"), "bottom": ("navy", "tan", "charcoal"), "shoe": ("tan",)}
        | {"hat": ("yellow", "white", "orange")},
        fixed={"gear": (1.0, 0.46, 0.08), "trim": (0.93, 0.95, 0.62), "strap": (0.34, 0.22, 0.13)},
        girth=1.12,
        shoulders=1.06,
        left=CARRY,
    ),
    "schoolchild": PersonPlan(
        height_m=1.24,
        phrase="a schoolchild in a {top} shirt",
        extras=(
            ("cap", "a {hat} cap"),
            ("backpack", "a big {gear} backpack"),
        ),
        parts=("stripes", "backpack", "cap"),
        colours={
            "top": ("sky blue", "yellow", "lime", "pink"),
            "trim": ("white", "navy", "red"),
            "bottom": ("navy", "blue"),
        }
        | {
            "gear": ("red", "green", "purple", "orange"),
            "hat": ("red", "navy", "green"),
            "shoe": ("white", "red"),
        },
        hair=("short", "long", "bob"),
        sleeves="short",
        legs="shorts",
        leg_share=0.45,
        head=1.32,
        girth=1.05,
    ),
    "girl_with_balloon": PersonPlan(
        height_m=1.10,
        phrase="a little girl in a {bottom} dress",
        extras=(("balloon", "a {gear} balloon"),),
        parts=("pigtails", "balloon"),
        colours={
            "bottom": ("pink", "turquoise", "yellow", "violet"),
            "gear": ("red", "blue", "green", "orange"),
        }
        | {"shoe": ("white", "crimson"), "trim": ("white",)},
        sleeves="short",
        legs="skirt",
        leg_share=0.43,
        head=1.40,
        girth=1.10,
        right=ALOFT,
    ),
    "grandmother": PersonPlan(
        height_m=1.56,
        phrase="an old woman in a long {bottom} skirt",
        extras=(
            ("shawl", "a {gear} shawl"),
            ("cane", "a cane"),
        ),
        parts=("shawl", "glasses", "cane"),
        colours={"gear": ("purple", "crimson", "teal", "mustard"), "bottom": ("charcoal", "navy", "brown")}
        | {"top": ("cream", "pink", "grey"), "trim": ("cream", "white"), "shoe": ("black",)},
        hair=("bun",),
        legs="robe",
        head=1.06,
        girth=1.12,
        shoulders=0.90,
        stoop_rad=0.34,
        old=True,
        right=POLE,
        gait_scale=0.72,
    ),
    "grandfather": PersonPlan(
        height_m=1.68,
        phrase="a bearded old man in a {coat} coat",
        bare_phrase="a bearded old man in a {top} shirt",
        extras=(
            ("cap", "a {hat} cap"),
            ("cane", "a cane"),
        ),
        parts=("coat", "overcoat", "beard", "cap", "cane"),
        colours={
            "coat": ("tan", "olive", "brown", "grey"),
            "top": ("white", "cream"),
            "bottom": ("brown", "charcoal"),
        }
        | {"hat": ("brown", "charcoal", "olive"), "shoe": ("brown",)},
        hair=("short",),
        stoop_rad=0.28,
        old=True,
        right=POLE,
        gait_scale=0.76,
    ),
    "woman_with_umbrella": PersonPlan(
        height_m=1.68,
        phrase="a woman in a {coat} coat",
        bare_phrase="a woman in a white blouse",
        extras=(("umbrella", "a {gear} umbrella"),),
        parts=("coat", "overcoat", "umbrella", "belt"),
        colours={"coat": ("yellow", "red", "tan", "teal"), "top": ("white",), "bottom": ("black", "navy")}
        | {
            "gear": ("red", "blue", "purple", "green"),
            "trim": ("white", "yellow", "pink"),
            "shoe": ("black", "red"),
        },
        hair=("long", "bob", "ponytail"),
        shoulders=0.88,
        girth=0.95,
        right=ALOFT,
        gait_scale=0.95,
    ),
    "jogger": PersonPlan(
        height_m=1.76,
        phrase="a jogger in a {top} vest and {bottom} shorts",
        extras=(("headband", "a {trim} headband"),),
        parts=("headband", "number"),
        colours={
            "top": ("lime", "magenta", "orange", "turquoise"),
            "bottom": ("black", "blue", "red"),
            "shoe": ("white", "lime"),
        }
        | {"trim": ("white", "red", "yellow")},
        hair=("short", "ponytail", "curly"),
        sleeves="none",
        legs="shorts",
        leg_share=0.51,
        girth=0.92,
        gait_scale=1.05,
    ),
    "courier": PersonPlan(
        height_m=1.76,
        phrase="a courier in a {top} uniform",
        extras=(
            ("cap", "a {hat} cap"),
            ("box", "a cardboard box"),
        ),
        parts=("box", "cap"),
        colours={
            "top": ("green", "red", "blue", "yellow"),
            "bottom": ("navy", "charcoal", "tan"),
            "shoe": ("black",),
        }
        | {"hat": ("green", "red", "blue")},
        fixed={"gear": (0.78, 0.60, 0.38), "trim": (0.90, 0.82, 0.62)},
        sleeves="short",
        legs="shorts",
        left=HUG,
        right=HUG,
    ),
    "winter_walker": PersonPlan(
        height_m=1.72,
        phrase="a walker in a thick {coat} parka",
        bare_phrase="a walker in a {top} jumper",
        extras=(("scarf", "a {gear} scarf"),),
        parts=("coat", "parka", "hood", "scarf"),
        colours={
            "coat": ("red", "teal", "mustard", "navy", "olive"),
            "gear": ("white", "orange", "lime"),
            "bottom": ("charcoal", "brown"),
        }
        | {"shoe": ("brown", "black"), "top": ("cream", "white")},
        fixed={"trim": (0.86, 0.78, 0.66)},
        girth=1.3,
        hands="gear",
        leg_share=0.47,
        left=ArmPose(roll=0.24),
        right=ArmPose(roll=0.24),
    ),
}
