"""A module that is imported relatively."""
NAME = f"{__package__}:{__name__}"


def fail():
    raise KeyError(NAME)
