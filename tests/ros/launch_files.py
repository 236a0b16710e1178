"""What a launch file would start, without starting it. Needs the packages launch, launch_ros."""

import importlib.util
import itertools
from pathlib import Path

import launch
import yaml
from launch_ros.actions import Node

FOLDER = Path(__file__).parents[2] / "launch"


def module_of(name):
    spec = importlib.util.spec_from_file_location(name.partition(".")[0], FOLDER / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def description_of(name):
    return module_of(name).generate_launch_description()


def resolved(name, **arguments):
    """The command line of every node that the file would start, then its parameter files' text."""
    context = launch.LaunchContext()
    context.launch_configurations.update({k: str(v) for k, v in arguments.items()})
    commands = {}

    def visit(entities):
        for entity in entities:
            if isinstance(entity, Node):
                if entity.condition is None or entity.condition.evaluate(context):
                    entity._perform_substitutions(context)
                    names = {"name": "", "ns": f"__ns:={entity.expanded_node_namespace}"}
                    context.extend_locals({"ros_specific_arguments": names})
                    command = [
                        launch.utilities.perform_substitutions(context, part)
                        for part in entity.cmd
                    ]
                    flags = itertools.pairwise(command)
                    files = [Path(value) for flag, value in flags if flag == "--params-file"]
                    # now: they are removed with the description
                    commands[entity.node_name] = command + [f.read_text() for f in files]
            else:
                visit(entity.visit(context) or [])

    visit(description_of(name).entities)
    return commands


def parameters_of(command, node):
    """What the node reads of its parameter files: the last one that names a parameter wins."""
    found = {}
    for part in command:
        if "ros__parameters" not in part:
            continue
        for pattern, section in yaml.full_load(part).items():
            if pattern == "/**" or pattern.rpartition("/")[2] == node:
                found |= section["ros__parameters"]
    return found
