"""Imported before numpy, keeps this process's matrix products to one thread.

They are small here; a pool of BLAS threads would only spin on the cores that the model needs.
Values that are set in the environment already are left alone.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
