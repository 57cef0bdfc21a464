# cython: language_level=3, boundscheck=False, wraparound=False
# cython: cdivision=True, initializedcheck=False
"""Reject, orient and resample streamlines in one compiled loop, and smaller loops.

`streamlines.resampling` calls it, checks what is given, and does the same without it.
Sums and products are in the order of NumPy's and DIPY's, so that results are theirs.
"""

from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

ctypedef fused number:
    float
    double

cdef enum:
    KEPT, NON_FINITE, TOO_FEW_POINTS, TOO_SHORT, TOO_LONG


cdef struct Rules:
    bint canonical
    double axis[3]
    double same_point, largest, min_length, max_length


cdef double length_of(const number* line, Py_ssize_t n_points) noexcept nogil:
    """Sum up the steps, with differences in float64."""
    cdef double length = 0, x, y, z
    cdef Py_ssize_t i
    for i in range(3, 3 * n_points, 3):
        x = <double>line[i] - <double>line[i - 3]
        y = <double>line[i + 1] - <double>line[i - 2]
        z = <double>line[i + 2] - <double>line[i - 1]
        length += sqrt(x * x + y * y + z * z)
    return length


cdef int judge(
    const number* line, Py_ssize_t n_points, bint finite, const Rules* rules
) noexcept nogil:
    """Find why a streamline is rejected."""
    cdef double length
    if not finite:
        return NON_FINITE
    length = length_of(line, n_points)
    if length <= rules.same_point:
        return TOO_FEW_POINTS
    if length < rules.min_length:
        return TOO_SHORT
    if length > rules.max_length:
        return TOO_LONG
    return KEPT


cdef bint runs_backwards(
    const number* line, Py_ssize_t n_points, const Rules* rules
) noexcept nogil:
    """Find whether a streamline is reversed; see `orientation.runs_backwards`."""
    cdef const number* last = line + 3 * (n_points - 1)
    cdef double x = <double>last[0] - <double>line[0]
    cdef double y = <double>last[1] - <double>line[1]
    cdef double z = <double>last[2] - <double>line[2]
    cdef double along = (x * rules.axis[0] + y * rules.axis[1]) + z * rules.axis[2]
    cdef Py_ssize_t i, k
    if along != 0:
        return along < 0
    for i in range(n_points):
        for k in range(3):
            if line[3 * i + k] != last[k - 3 * i]:
                return line[3 * i + k] > last[k - 3 * i]
    return False


cdef void turn(number* line, Py_ssize_t n_points) noexcept nogil:
    """Reverse the points."""
    cdef Py_ssize_t low = 0, high = 3 * (n_points - 1), k
    cdef number kept
    while low < high:
        for k in range(3):
            kept = line[low + k]
            line[low + k] = line[high + k]
            line[high + k] = kept
        low += 3
        high -= 3


cdef void resample(
    const number* line, Py_ssize_t n_points, double* along, float* out, Py_ssize_t n_out
) noexcept nogil:
    """Put points at equal steps of arc length, as DIPY's set_number_of_points does."""
    cdef Py_ssize_t i, k, done
    cdef float step_x, step_y, step_z, x, y, z
    cdef double total, step, wanted, before, after, ratio, sx, sy, sz
    along[0] = 0
    for i in range(1, n_points):
        k = 3 * i
        step_x = <float>line[k] - <float>line[k - 3]
        step_y = <float>line[k + 1] - <float>line[k - 2]
        step_z = <float>line[k + 2] - <float>line[k - 1]
        sx, sy, sz = step_x, step_y, step_z
        along[i] = along[i - 1] + sqrt(sx * sx + sy * sy + sz * sz)
    total = along[n_points - 1]
    step = total / (n_out - 1)
    for k in range(3):
        out[k] = <float>line[k]
    wanted = step
    done = 1
    i = 1
    while wanted < total and done < n_out - 1:
        while along[i] < wanted:
            i += 1
        # All points of this step of the streamline.
        before, after = along[i - 1], along[i]
        k = 3 * (i - 1)
        x, y, z = <float>line[k], <float>line[k + 1], <float>line[k + 2]
        sx = <float>(<float>line[k + 3] - x)
        sy = <float>(<float>line[k + 4] - y)
        sz = <float>(<float>line[k + 5] - z)
        while wanted < after and done < n_out - 1:
            ratio = 1 - (after - wanted) / (after - before)
            out[3 * done] = <float>(x + ratio * sx)
            out[3 * done + 1] = <float>(y + ratio * sy)
            out[3 * done + 2] = <float>(z + ratio * sz)
            done += 1
            wanted += step
        if wanted == after and wanted < total and done < n_out - 1:
            for k in range(3):
                out[3 * done + k] = <float>line[3 * i + k]
            done += 1
            wanted += step
            i += 1
    for done in range(done, n_out):
        for k in range(3):
            out[3 * done + k] = <float>line[3 * (n_points - 1) + k]


cdef Py_ssize_t resample_all(
    const number* numbers,
    const int64_t* begins,
    const int64_t* counts,
    Py_ssize_t n_lines,
    Py_ssize_t width,
    const float* affine,
    const Rules* rules,
    signed char* codes,
    unsigned char* backwards,
    float* out,
    Py_ssize_t n_out,
) noexcept nogil:
    """Handle each streamline; return the number of rows, -1 without memory."""
    cdef Py_ssize_t i, k, n, longest = 1, n_rows = 0
    cdef number x, y, z
    cdef bint finite
    cdef const number* point
    cdef number* line
    cdef double* along
    for i in range(n_lines):
        longest = max(longest, <Py_ssize_t>counts[i])
    line = <number*>malloc(3 * longest * sizeof(number))
    along = <double*>malloc(longest * sizeof(double))
    if line == NULL or along == NULL:
        free(line)
        free(along)
        return -1
    for i in range(n_lines):
        n = <Py_ssize_t>counts[i]
        point = numbers + begins[i]
        finite = True
        for k in range(0, 3 * n, 3):
            x, y, z = point[0], point[1], point[2]
            point += width
            if affine != NULL:
                line[k] = <number>(
                    x * affine[0] + y * affine[1] + z * affine[2] + affine[3]
                )
                line[k + 1] = <number>(
                    x * affine[4] + y * affine[5] + z * affine[6] + affine[7]
                )
                line[k + 2] = <number>(
                    x * affine[8] + y * affine[9] + z * affine[10] + affine[11]
                )
                x, y, z = line[k], line[k + 1], line[k + 2]
            else:
                line[k], line[k + 1], line[k + 2] = x, y, z
            # False for NaN.
            finite &= (
                (fabs(x) <= rules.largest)
                & (fabs(y) <= rules.largest)
                & (fabs(z) <= rules.largest)
            )
        codes[i] = judge(line, n, finite, rules)
        backwards[i] = False
        if codes[i] != KEPT:
            continue
        if rules.canonical and runs_backwards(line, n, rules):
            backwards[i] = True
            turn(line, n)
        if out != NULL:
            resample(line, n, along, out + 3 * n_out * n_rows, n_out)
        n_rows += 1
    free(line)
    free(along)
    return n_rows


def resample_block(
    const number[::1] numbers,
    const int64_t[::1] begins,
    const int64_t[::1] counts,
    Py_ssize_t width,
    const float[:, ::1] affine,
    axis,
    double same_point,
    double largest,
    double min_length,
    double max_length,
    signed char[::1] codes,
    unsigned char[::1] backwards,
    float[:, :, ::1] out,
):
    """Reject, orient and resample streamlines, without the interpreter's lock.

    Parameters
    ----------
    numbers : array of float32 or float64, shape (n_numbers,)
        Coordinates, mm, with others between them.
    begins, counts : array of int64, shape (n_lines,)
        Where each streamline begins in ``numbers``, and the number of its points.
        They are not checked.
    width : int
        Numbers from one point to the next.
    affine : array of float32, shape (4, 4), or None
        Applied to all points first.
    axis : sequence of float, length 3, or None
        Direction of the canonical orientation; None keeps that of the streamlines.
    same_point, largest, min_length, max_length : float
        Limits, mm.
    codes : array of int8, shape (n_lines,)
        Written: reason of each rejection, 0 for streamlines that are kept.
    backwards : array of uint8, shape (n_lines,)
        Written: 1 for streamlines that were reversed.
    out : array of float32, shape (n_lines, n_points, 3), or None
        Written: streamlines that are kept, one after the other, mm.

    Returns
    -------
    n_rows : int
        Number of streamlines that are kept.
    """
    cdef Rules rules
    cdef Py_ssize_t n_rows, n_lines = counts.shape[0], n_out = 0
    cdef float* rows = NULL
    cdef const float* matrix = NULL
    cdef const number* first = NULL
    if n_lines == 0:
        return 0
    if numbers.shape[0]:
        first = &numbers[0]
    rules.canonical = axis is not None
    rules.axis = (0, 0, 0)
    if rules.canonical:
        rules.axis = axis
    rules.same_point, rules.largest = same_point, largest
    rules.min_length, rules.max_length = min_length, max_length
    if out is not None:
        n_out = out.shape[1]
        rows = &out[0, 0, 0]
    if affine is not None:
        matrix = &affine[0, 0]
    with nogil:
        n_rows = resample_all(
            first, &begins[0], &counts[0], n_lines, width, matrix, &rules,
            &codes[0], &backwards[0], rows, n_out,
        )
    if n_rows < 0:
        raise MemoryError("No memory for the points of one streamline.")
    return n_rows


def any_outside(
    const number[:, ::1] points, const double[:, ::1] to_voxels, const double[::1] size
):
    """Return whether a point is outside of an image, or not finite.

    Parameters
    ----------
    points : array of float32 or float64, shape (n_points, 3)
        Points, mm.
    to_voxels : array of float64, shape (4, 4)
        Affine to voxels.
    size : array of float64, shape (3,)
        Number of voxels along each axis.

    Returns
    -------
    outside : bool
        True if a point is more than half a voxel away from all voxel centres.
    """
    cdef double matrix[3][4]
    cdef double place, x, y, z
    cdef Py_ssize_t i, k
    cdef bint inside = True
    for i in range(3):
        for k in range(4):
            matrix[i][k] = to_voxels[i, k]
        matrix[i][3] += 0.5
    with nogil:
        for i in range(points.shape[0]):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            for k in range(3):
                place = x * matrix[k][0] + y * matrix[k][1] + z * matrix[k][2]
                place = place + matrix[k][3]
                # False for NaN.
                inside &= (place >= 0) & (place <= size[k])
            if not inside:
                break
    return not inside


def follow_counts(
    const int[::1] words,
    Py_ssize_t at,
    Py_ssize_t skip,
    Py_ssize_t width,
    int64_t[::1] starts,
):
    """Find streamlines that each begin with the number of their points, as in a TRK.

    Parameters
    ----------
    words : array of int32, shape (n_words,)
        Part of the file.
    at : int
        Position of the first streamline, in words.
    skip, width : int
        Words per streamline and per point.
    starts : array of int64, shape (any,)
        Written: positions of the streamlines.

    Returns
    -------
    n_found : int
        Number of streamlines found until ``words`` end, ``starts`` is full, or a
        number of points is negative.
    at : int
        Position of the streamline after them.
    """
    cdef Py_ssize_t n_found = 0
    with nogil:
        while at < words.shape[0] and n_found < starts.shape[0] and words[at] >= 0:
            starts[n_found] = at
            n_found += 1
            at += skip + width * <Py_ssize_t>words[at]
    return n_found, at
