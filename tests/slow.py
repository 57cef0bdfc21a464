"""What is too slow for each run of `pytest`: `pytest -m ""` runs it too."""

import pytest

slow = pytest.mark.slow


def slow_but(cases, *quick):
    """Mark cases of a parametrized test as slow, all but a few.

    Parameters
    ----------
    cases : iterable
        All of them; a tuple holds the values of several parameters.
    *quick : object
        Cases that run each time; for tuples their first value.

    Returns
    -------
    marked : list
        For `pytest.mark.parametrize`.
    """
    marked = []
    missing = set(quick)
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        missing.discard(values[0])
        marks = () if values[0] in quick else (slow,)
        marked.append(pytest.param(*values, marks=marks))
    assert not missing, f"no such cases: {missing}"
    return marked
