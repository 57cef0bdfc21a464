"""Ways to make a small HDF5 file that needs much memory, or reads another file.

Each is done to one dataset of a good file; whoever opens the file has to refuse it.
"""

import zlib

import h5py
import numpy as np

MANY = 80 * 2**20  # bytes


def write_other(file, name, folder):
    """Write the dataset to a file of its own, too."""
    other = folder / "other.h5"
    with h5py.File(other, "w") as target:
        target["there"] = file[name][()]
    return str(other)


def external_link(file, name, folder):
    other = write_other(file, name, folder)
    del file[name]
    file[name] = h5py.ExternalLink(other, "there")


def soft_link(file, name, folder):
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def second_name(file, name, folder):
    file["again"] = file[name]


def cycle(file, name, folder):
    file.create_group("into")["back"] = file["/"]


def external_data(file, name, folder):
    values = file[name][()]
    (folder / "raw").write_bytes(values.tobytes())
    replace(file, name, None, external=[(str(folder / "raw"), 0, values.nbytes)])


def virtual_data(file, name, folder):
    other = write_other(file, name, folder)
    old = file[name]
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[...] = h5py.VirtualSource(other, "there", shape=old.shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def replace(file, name, values, shape=None, **kwargs):
    """Put another dataset of the same type in its place."""
    old = file[name]
    shape, dtype = shape or old.shape, old.dtype
    del file[name]
    return file.create_dataset(name, shape, dtype, data=values, **kwargs)


def grown(file, name, by=10**9):
    """Shape of the dataset with very many rows."""
    return (by, *file[name].shape[1:])


def not_written(file, name, folder):
    replace(file, name, None, grown(file, name))


def chunks_not_written(file, name, folder):
    shape = grown(file, name)
    replace(file, name, None, shape, chunks=(1000, *shape[1:]))


def packed_chunks_not_written(file, name, folder):
    shape = grown(file, name, 1000)
    replace(file, name, None, shape, chunks=(10, *shape[1:]), compression="gzip")


def bomb(file, name, folder):
    """Zeros that are really there: 80 MB in 80 kB."""
    row = file[name].dtype.itemsize * int(np.prod(file[name].shape[1:]))
    shape = grown(file, name, MANY // row)
    values = np.zeros(shape, file[name].dtype)
    replace(file, name, values, shape, chunks=True, compression="gzip")


def chunk_of_another_size(file, name, folder):
    """Write a chunk that unpacks to far more than the header says."""
    dataset = replace(file, name, file[name][()], chunks=True, compression="gzip")
    corner = (0,) * dataset.ndim
    dataset.id.write_direct_chunk(corner, zlib.compress(bytes(MANY // 2)))


def packed_twice(file, name, folder):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    old = file[name]
    values = old[()]
    creation.set_chunk(old.shape)
    creation.set_deflate(9)
    creation.set_deflate(9)
    space, kind = h5py.h5s.create_simple(old.shape), h5py.h5t.py_create(old.dtype)
    parent, _, last = name.rpartition("/")
    group = file[parent or "/"]
    del file[name]
    h5py.h5d.create(group.id, last.encode(), kind, space, creation)
    file[name][...] = values


def packed_to_nothing(file, name, folder):
    """Use a filter that stores equal numbers in no bytes at all."""
    values = np.zeros(file[name].shape)
    replace(file, name, values, chunks=True, scaleoffset=4)


def references(file, name, folder):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, h5py.ref_dtype)


def lists(file, name, folder):
    """Numbers of any length, which lie elsewhere in the file."""
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, h5py.vlen_dtype(np.float64))


def texts(file, name, folder):
    values = file[name][()]
    del file[name]
    file[name] = values.astype("S8")


def records(file, name, folder):
    shape = file[name].shape
    del file[name]
    file[name] = np.zeros(shape, [("a", "f8", 9)])


KINDS = {
    function.__name__: function
    for function in (
        external_link,
        soft_link,
        second_name,
        cycle,
        external_data,
        virtual_data,
        not_written,
        chunks_not_written,
        packed_chunks_not_written,
        bomb,
        chunk_of_another_size,
        packed_twice,
        packed_to_nothing,
        references,
        lists,
        texts,
        records,
    )
}
