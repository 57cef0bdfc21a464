"""Strategies for streamlines of all kinds: closed, mirrored, palindromic, level."""

from hypothesis import settings, strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np

properties = settings(max_examples=60, deadline=None, derandomize=True)

GOOD = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0]], dtype=np.float32)

# Few distinct values, so that ties and repeated points come up often.
coarse = st.integers(-2, 2).map(float)
fine = st.floats(-150, 150, width=32)
axes = arrays(np.float64, 3, elements=st.floats(-1, 1))


@st.composite
def lines_of_points(draw, dtype=np.float32):
    """Streamlines (2 to 12 points, 3): any, closed, palindromic, mirrored, level."""
    coordinates = draw(st.sampled_from([coarse, fine]))
    line = draw(arrays(dtype, (draw(st.integers(2, 6)), 3), elements=coordinates))
    kind = draw(st.sampled_from(["any", "closed", "palindrome", "mirrored", "level"]))
    if kind == "closed":
        line = np.concatenate([line, line[:1]])
    elif kind == "palindrome":
        line = np.concatenate([line, line[::-1]])
    elif kind == "mirrored":  # The reverse is the mirror image in the plane x = 0.
        line = np.concatenate([line, line[::-1] * np.array([-1, 1, 1], dtype)])
    elif kind == "level":  # No step along z from end to end.
        line[-1, 2] = line[0, 2]
    return line
