"""Training machines without ROS: `pip install .` gives `ipt_model` and `ipt_training`.

A robot builds the same sources with colcon (CMakeLists.txt), which adds the messages and
`ipt_ros`.
"""

from setuptools import find_packages, setup

MODEL = find_packages(include=["ipt_model", "ipt_model.*"])
TRAINING = ["ipt_training"] + [f"ipt_training.{name}" for name in find_packages("training")]

setup(
    packages=MODEL + TRAINING,
    package_dir={"ipt_training": "training"},
    include_package_data=True,
)
