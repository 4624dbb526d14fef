"""The two kinds of errors."""


class InputError(ValueError):
    """Wrong input: the message names the file or argument, what was found, what was expected and what to do."""


class NumericalError(ArithmeticError):
    """A numerical failure: an NLL that is not finite, or an ODE that no step size can solve."""
