#!/usr/bin/env bash
# Prints the Python that .venv is to be made with: $PYTHON when it is set, else the first on the path that will do.
# With an installed ROS sourced that is one that can import its rclpy; with ROS from wheels, one that wheels exist for.
set -euo pipefail
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

if [ -n "${ROS_DISTRO:-}" ] && [ "${IPT_ROS_FROM_WHEELS:-}" != 1 ]; then
    wanted="a Python that can import rclpy of ROS $ROS_DISTRO, which is sourced"
    check='import sys, rclpy; sys.exit(sys.version_info < (3, 10))'
    candidates=(python3 /usr/bin/python3 python3.12 python3.14 python3.13 python3.11 python3.10)
else
    wanted="Python 3.10, 3.11 or 3.12"
    check='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'
    candidates=(python3 python3.12 python3.11 python3.10)
fi
if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
for candidate in "${candidates[@]}"; do
    if "$candidate" -c "$check" 2>/dev/null; then
        command -v "$candidate"
        exit
    fi
done
fail "needs $wanted; tried ${candidates[*]}. Name one: make PYTHON=/path/to/python3 demo"
