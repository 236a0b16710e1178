"""A wish to activate is answered when the model is there, and holds up nobody in the meantime.

rclpy calls back for a transition and expects it done on return, but a service may answer later.
Until then the node is inactive and says that it is loading.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ipt_ros.reports import Reports
from ipt_ros.texts import cut

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode


def wait_in_transitions(
    node: LifecycleNode, loaded: Callable[[], Awaitable[bool]], reports: Reports
) -> None:
    """loaded: whether there is a model to activate with, once that is known."""
    from lifecycle_msgs.msg import State, Transition
    from lifecycle_msgs.srv import ChangeState
    from rclpy.callback_groups import ReentrantCallbackGroup

    service = node._service_change_state
    change = service.callback
    service.callback_group = ReentrantCallbackGroup()
    service.callback_group.add_entity(service)

    async def change_state(request: Any, response: Any) -> Any:
        wanted = request.transition.label or request.transition.id
        activate = wanted in ("activate", Transition.TRANSITION_ACTIVATE)
        inactive = node._state_machine.current_state[0] == State.PRIMARY_STATE_INACTIVE
        if activate and inactive and not await loaded():
            return ChangeState.Response(success=False)
        try:
            return change(request, response)
        except Exception as error:  # a transition that this state does not have
            reports.warn(f"transition {cut(wanted, 80)!r} refused: {error}")
            return ChangeState.Response(success=False)

    # rclpy awaits it where it is a coroutine
    service.callback = change_state  # type: ignore[assignment]
