"""The 23 kinds of people: who they are, what they wear and carry."""

from collections.abc import Mapping
from functools import partial

from outofsight.worlds.subjects.kinds import Habit, Recipe
from outofsight.worlds.subjects.measures import ArmPose, PersonPlan
from outofsight.worlds.subjects.people import gait_of, legs_of, person_figure, person_pose

CARRY = ArmPose(pitch=0.0, roll=0.12, elbow=0.12, swing=0.25)
POLE = ArmPose(pitch=0.25, roll=0.14, elbow=0.75, swing=0.25)
HUG = ArmPose(pitch=0.45, roll=0.16, elbow=1.15, swing=0.0)
ALOFT = ArmPose(pitch=0.35, roll=0.10, elbow=1.75, swing=0.03)

STEEL = (0.68, 0.71, 0.76)

PLANS: Mapping[str, PersonPlan] = {
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
        gait_scale=0.92,
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
        left=HUG,
        right=HUG,
        gait_scale=0.8,
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
            "bottom": ("blue", "navy", "brown"),
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
        | {"gear": (0.80, 0.81, 0.83), "glass": (0.16, 0.12, 0.06), "skin": (0.42, 0.44, 0.48)},
        hair=("bald",),
        girth=1.42,
        shoulders=1.12,
        leg_share=0.46,
        left=ArmPose(roll=0.30, elbow=0.5, swing=0.7),
        right=ArmPose(roll=0.30, elbow=0.5, swing=0.7),
        gait_scale=0.95,
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
            "top": ("brown", "red", "blue", "yellow"),
            "bottom": ("brown", "navy", "charcoal"),
            "shoe": ("black",),
        }
        | {"hat": ("brown", "red", "blue")},
        fixed={"gear": (0.78, 0.60, 0.38), "trim": (0.90, 0.82, 0.62)},
        sleeves="short",
        legs="shorts",
        left=HUG,
        right=HUG,
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
        leg_share=0.47,
        left=ArmPose(roll=0.24),
        right=ArmPose(roll=0.24),
    ),
}


HABITS: Mapping[str, Habit] = {
    "hiker": Habit(
        noun="a hiker",
        walk_m_s=1.35,
        run_m_s=3.2,
        size_m=(1.75, 1.0, 0.55),
        removable=("backpack", "sun hat", "stick"),
    ),
    "businessman": Habit(
        noun="a businessman",
        walk_m_s=1.45,
        run_m_s=3.2,
        size_m=(1.8, 1.0, 0.6),
        removable=("coat", "briefcase"),
    ),
    "office_worker": Habit(
        noun="an office worker",
        walk_m_s=1.25,
        run_m_s=2.6,
        size_m=(1.7, 0.9, 0.5),
        removable=("coat", "handbag"),
    ),
    "builder": Habit(
        noun="a builder",
        walk_m_s=1.3,
        run_m_s=2.8,
        size_m=(1.8, 1.0, 0.6),
        removable=("hard hat", "vest", "toolbox"),
    ),
    "chef": Habit(
        noun="a chef", walk_m_s=1.2, run_m_s=2.6, size_m=(1.85, 1.0, 0.6), removable=("toque", "apron")
    ),
    "knight": Habit(
        noun="a knight",
        walk_m_s=1.15,
        run_m_s=2.4,
        size_m=(1.95, 0.9, 0.6),
        actions=("standing guard", "marching", "charging"),
        removable=("shield",),
    ),
    "monk": Habit(
        noun="a monk",
        walk_m_s=0.95,
        run_m_s=2.0,
        size_m=(1.7, 0.9, 0.55),
        actions=("standing in thought", "walking slowly", "hurrying"),
    ),
    "schoolchild": Habit(
        noun="a schoolchild",
        walk_m_s=1.1,
        run_m_s=2.6,
        size_m=(1.25, 0.65, 0.4),
        removable=("backpack", "cap"),
    ),
    "girl_with_balloon": Habit(
        noun="a girl with a balloon",
        walk_m_s=0.9,
        run_m_s=2.1,
        size_m=(1.7, 0.75, 0.5),
        removable=("balloon",),
    ),
    "grandmother": Habit(
        noun="an old woman",
        walk_m_s=0.7,
        run_m_s=1.3,
        size_m=(1.6, 0.7, 0.4),
        actions=("resting", "shuffling", "hurrying"),
        removable=("shawl", "cane"),
    ),
    "grandfather": Habit(
        noun="an old man",
        walk_m_s=0.75,
        run_m_s=1.4,
        size_m=(1.7, 0.75, 0.45),
        actions=("resting", "strolling", "hurrying"),
        removable=("coat", "cap"),
    ),
    "woman_with_umbrella": Habit(
        noun="a woman with an umbrella",
        walk_m_s=1.2,
        run_m_s=2.6,
        size_m=(2.3, 1.25, 0.85),
        removable=("umbrella", "coat"),
    ),
    "jogger": Habit(
        noun="a jogger",
        walk_m_s=1.5,
        run_m_s=3.6,
        size_m=(1.75, 1.05, 0.6),
        actions=("stretching", "walking briskly", "jogging"),
        removable=("headband",),
    ),
    "farmer": Habit(
        noun="a farmer",
        walk_m_s=1.2,
        run_m_s=2.6,
        size_m=(1.95, 1.0, 0.6),
        removable=("straw hat", "pitchfork"),
    ),
    "firefighter": Habit(
        noun="a firefighter",
        walk_m_s=1.35,
        run_m_s=3.0,
        size_m=(1.85, 1.0, 0.6),
        removable=("fire helmet",),
        held_out=True,
    ),
    "doctor": Habit(noun="a doctor", walk_m_s=1.4, run_m_s=3.0, size_m=(1.7, 0.95, 0.55), removable=("coat",)),
    "astronaut": Habit(
        noun="an astronaut",
        walk_m_s=0.9,
        run_m_s=2.0,
        size_m=(1.95, 1.0, 0.6),
        actions=("standing", "plodding", "bounding"),
        removable=("space helmet",),
    ),
    "courier": Habit(
        noun="a courier", walk_m_s=1.45, run_m_s=3.0, size_m=(1.75, 1.0, 0.6), removable=("box", "cap")
    ),
    "ball_guest": Habit(
        noun="a woman in a ball gown",
        walk_m_s=0.95,
        run_m_s=2.0,
        size_m=(1.75, 0.85, 0.5),
        actions=("standing", "strolling", "hurrying"),
    ),
    "king": Habit(
        noun="a king",
        walk_m_s=0.95,
        run_m_s=2.2,
        size_m=(1.8, 1.0, 0.55),
        actions=("standing proudly", "striding", "running"),
        removable=("crown", "cape"),
    ),
    "cowboy": Habit(
        noun="a cowboy",
        walk_m_s=1.25,
        run_m_s=3.2,
        size_m=(1.85, 1.05, 0.6),
        removable=("cowboy hat", "vest"),
    ),
    "wizard": Habit(
        noun="a wizard",
        walk_m_s=0.95,
        run_m_s=2.2,
        size_m=(2.15, 1.0, 0.65),
        removable=("wizard hat", "staff"),
        held_out=True,
    ),
    "winter_walker": Habit(
        noun="a walker in a parka",
        walk_m_s=1.1,
        run_m_s=2.4,
        size_m=(1.75, 0.95, 0.55),
        actions=("standing", "trudging", "running"),
        removable=("coat", "scarf"),
    ),
}


def recipes() -> dict[str, Recipe]:
    """Make every person's recipe, in catalogue order."""
    return {name: _recipe(name, plan, HABITS[name]) for name, plan in PLANS.items()}


def _recipe(name: str, plan: PersonPlan, habit: Habit) -> Recipe:
    return Recipe(
        kind=habit.kind(name, "person"),
        figure=partial(person_figure, plan),
        pose=partial(person_pose, plan, gait_of(plan, habit.walk_m_s, habit.run_m_s)),
        legs=legs_of(plan),
    )
