# Sourced, never run: puts Python, ROS and this package's messages on the path, from whichever ROS there is.
# An installed ROS that was sourced before (ROS_DISTRO is set) is used as it is; else the wheels in .venv are.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${ROS_DISTRO:-}" ] || [ "${IPT_ROS_FROM_WHEELS:-}" = 1 ]; then
    export IPT_ROS_FROM_WHEELS=1 ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
    export AMENT_PREFIX_PATH="$root/.venv" CMAKE_PREFIX_PATH="$root/.venv"
fi
export PATH="$root/.venv/bin:$PATH" VIRTUAL_ENV="$root/.venv"
# Images over 512 kB get lost with the defaults of Fast DDS, over loopback and in shared memory alike.
export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$root/config/fastdds.xml}"
# Threads that spin while they wait steal the cores from the other nodes and tests (see yielding_threads).
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
# Robots on the same network must not meet the demo: discovery stays on this machine.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
if [ -f "$root/install/setup.bash" ]; then
    set +u  # colcon's scripts read variables that may be unset
    . "$root/install/setup.bash"
fi
