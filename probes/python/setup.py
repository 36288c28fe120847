"""The C part of the package; all else is in pyproject.toml. points.c and include/ are made by `make python`."""
from setuptools import Extension, setup

setup(ext_modules=[Extension("outspan_lonelypsp.points", ["src/points.c", "src/module.c"],
                             include_dirs=["include", "src"], depends=["src/operation.h"],
                             extra_compile_args=["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Wno-missing-field-initializers"])])
