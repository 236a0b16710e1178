"""The embedded simulator as a `Body` without ROS: what `sim_node` does in lock step."""

import json

from ipt_ros.navigation.moving import STEP_S, Look
from ipt_ros.parameters.sim_node import SIM_PARAMETERS, check_together
from ipt_ros.parameters.table import checked, defaults
from ipt_ros.simulator.world import Simulation, SteppedTime

SIMULATOR = {
    "step_s": STEP_S,
    "publish_clock": True,
    "max_turn": 4.0,
    "width": 128,
    "height": 96,
}


class SteppedBody:
    """Says of masks what `mask` holds, if anything."""

    def __init__(self, house, folder, mask=None):
        scene = folder / "scene.json"
        scene.write_text(json.dumps(house.changed.to_dict()))
        values = checked(
            SIM_PARAMETERS, defaults(SIM_PARAMETERS), {**SIMULATOR, "scene": str(scene)}
        )
        assert check_together(values) is None
        self._time = SteppedTime()
        self.simulation = Simulation(values, self._time.now_ns())
        self.mask, self.asked = mask, 0

    def put(self, robot):
        self.simulation.robot.put(*robot)
        return self.step(0.0, 0.0)

    def step(self, speed, turn):
        self.simulation.robot.command(speed, turn, self._time.now_ns() / 1e9)
        self._time.step(STEP_S)
        frame = self.simulation.look(self._time.now_ns(), colour=False)
        motion = frame.motion
        return Look(
            motion.stamp_ns,
            (motion.x, motion.y, motion.yaw),
            frame.depth_m,
            self.simulation.camera,
            self.simulation.world_from_camera(motion),
        )

    def imagined(self, grid, look):
        self.asked += 1
        return self.mask
