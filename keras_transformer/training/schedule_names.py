"""Names of the learning rate schedules."""

SCHEDULES = ("inverse_square_root", "constant", "linear", "cosine", "plateau")
# Those that fall to 0 at the last step, which must be known from the start.
DECAYS = ("linear", "cosine")


def check_decay(name, steps, warmup_steps):
    """Raises a ValueError if no step is left after the warm-up to fall to 0 in."""
    if name in DECAYS and warmup_steps >= steps:
        raise ValueError(
            f"warmup_steps must be less than steps with schedule={name!r}, which falls "
            f"to 0 after the warm-up; received warmup_steps={warmup_steps}, "
            f"steps={steps}."
        )
