"""Flow matching as pure functions: schedule, training target and weight, Euler step, guidance."""
