"""The kinds of subjects of our worlds, by name: known here too, since looking needs no renderer."""

KINDS = (
    "hiker", "businessman", "office_worker", "builder", "schoolchild", "girl_with_balloon", "grandmother",
    "grandfather", "woman_with_umbrella", "jogger", "courier", "winter_walker", "chef", "knight", "monk",
    "farmer", "firefighter", "doctor", "astronaut", "ball_guest", "king", "cowboy", "wizard", "dog", "cat",
    "horse", "cow", "sheep", "pig", "fox", "deer", "bear", "elephant", "camel", "tortoise", "chicken", "goose",
    "kangaroo", "car", "van", "bus", "bicycle", "scooter", "tractor", "forklift", "delivery_robot", "robot_dog",
    "humanoid_robot", "robot_arm",
)  # fmt: skip
"""In the order of ``worlds.subjects.subject_catalogue``."""
