"""What somebody else's operator panel does, with ROS 2 and nothing else: it may be of another distribution.

Configures and activates the policy, watches supervisor, watchdog and policy while the arm moves, deactivates the
policy, resets the supervisor. Prints what it saw as JSON.
"""

import json
import time

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

rclpy.init()
node = rclpy.create_node("operator")
heard, events = {}, []
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
for topic in ("/rlaas/supervisor", "/rlaas/watchdog", "/rlaas/policy"):
    node.create_subscription(String, topic, lambda m, t=topic: heard.update({t: json.loads(m.data)}), latched)
node.create_subscription(String, "/rlaas/events", lambda m: events.append(json.loads(m.data)["line"]), 10)


def until(condition, seconds=40.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain; heard {sorted(heard)}, {events}")
        rclpy.spin_once(node, timeout_sec=0.1)


def call(kind, name, request):
    client = node.create_client(kind, name)
    until(client.service_is_ready)
    future = client.call_async(request)
    until(future.done)
    return future.result()


def change(number):
    return call(
        ChangeState, "/rlaas_policy/change_state", ChangeState.Request(transition=Transition(id=number))
    ).success


def configured():
    ok = change(Transition.TRANSITION_CONFIGURE)
    time.sleep(0 if ok else 1.0)
    return ok


until(configured)
activated = change(Transition.TRANSITION_ACTIVATE)
until(lambda: heard.get("/rlaas/supervisor", {}).get("periods", 0) > 40)
deactivated = change(Transition.TRANSITION_DEACTIVATE)
state = call(GetState, "/rlaas_policy/get_state", GetState.Request()).current_state.id
reset = call(Trigger, "/supervisor/reset", Trigger.Request()).message
told = {
    "rclpy": rclpy.__file__,
    "activated": activated,
    "deactivated": deactivated and state == State.PRIMARY_STATE_INACTIVE,
    "reset": reset,
    "supervisor": heard["/rlaas/supervisor"],
    "watchdog": heard["/rlaas/watchdog"],
    "policy": heard["/rlaas/policy"],
    "events": events,
}
print(json.dumps(told))
rclpy.shutdown()
