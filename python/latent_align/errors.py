"""What goes wrong, in two kinds."""


class InputError(ValueError):
    """Wrong input: the message names the file or argument, what was found, what was expected and what to do."""


class NumericalError(ArithmeticError):
    """Numbers that went wrong: an NLL that is not finite, or an ODE that no step is small enough for."""
