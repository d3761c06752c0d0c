"""The faults that a deployment has to survive, and what has to be said about each: see `faults.Fault`."""

from robot_rlaas.deploy.faults import (
    STATES,
    WRENCH,
    Fault,
    Link,
    added,
    every,
    force,
    frozen,
    named,
    noise,
    one,
    points,
    shorter,
    stamped,
    turned,
    values,
)

NAN, INF = float("nan"), float("inf")
_TARGET, _SETPOINTS, _COMMAND = (Link.TARGET,), (Link.SETPOINTS,), (Link.COMMAND,)
_DEADMAN = ("deadman",)
_STATES, _WRENCH = ("joint_states_quiet", "deadman"), ("wrench_quiet", "deadman")
_MOST_Nm = 500.0


def _target(name: str, change, cause: str, **more) -> Fault:
    return Fault(f"target: {name}", (cause,), _TARGET, change=change, **more)


FAULTS = (
    # from the policy to the supervisor
    Fault("target: partition", _DEADMAN, _TARGET, "drop"),
    Fault("target: half of them dropped", (), _TARGET, "half", stops=False),
    Fault("target: 0.3 s late", ("stale",), _TARGET, "delay", late_s=0.3),
    Fault("target: every one twice", ("out_of_order",), _TARGET, "twice", stops=False),
    Fault("target: pairs swapped", ("out_of_order",), _TARGET, "swap", stops=False),
    _target("one joint NaN", values("points", one(NAN)), "not_finite"),
    _target("all joints NaN", values("points", every(NAN)), "not_finite"),
    _target("one joint infinite", values("points", one(INF)), "not_finite"),
    _target("one joint at 10^6 rad", values("points", one(1e6)), "jump"),
    _target("all joints at zero", values("points", every(0.0)), "jump"),
    _target("one radian further", values("points", added(1.0)), "jump"),
    _target("joints in another order", values("points", turned(1)), "jump"),
    _target("joints in the opposite order", values("points", lambda numbers, rng: numbers[::-1]), "jump"),
    _target("a joint missing", values("points", shorter), "shape"),
    _target("a joint of another name", named(lambda names: [*names[:-1], "finger_joint"]), "names"),
    _target("a joint named twice", named(lambda names: [*names[:-1], names[0]]), "names"),
    _target("without a point", points(0), "shape"),
    _target("with two points", points(2), "shape"),
    _target("the clock jumps ahead", stamped(5), "future"),
    _target("the clock jumps back", stamped(-5), "stale"),
    _target("noise of 0.05 rad", values("points", noise(0.05)), "acceleration", stops=False),
    # from the arm to the others
    Fault("joint states: silent", _STATES, STATES, "drop"),
    Fault("joint states: silent for the supervisor", ("joint_states_quiet",), STATES[1:], "drop"),
    Fault("joint states: silent for the policy", _DEADMAN, STATES[:1], "drop"),
    Fault("joint states: 0.3 s late", _STATES, STATES, "delay", late_s=0.3),
    Fault("joint states: every one twice", (), STATES, "twice", stops=False),
    Fault("joint states: pairs swapped", (), STATES, "swap", stops=False),
    Fault("joint states: half of them dropped", (), STATES, "half", stops=False),
    Fault("joint states: frozen", ("joint_states_frozen",), STATES, change=frozen, fast=True),
    Fault("joint states: NaN", _STATES, STATES, change=values("position", one(NAN))),
    Fault("joint states: infinite", _STATES, STATES, change=values("position", one(INF))),
    Fault("joint states: a joint missing", _STATES, STATES, change=named(lambda names: [*names[:-1], "finger_joint"])),
    Fault("joint states: angles missing", _STATES, STATES, change=values("position", shorter)),
    Fault("joint states: the clock jumps ahead", _STATES, STATES, change=stamped(5)),
    Fault("joint states: the clock jumps back", _STATES, STATES, change=stamped(-5)),
    Fault("joint states: a joint 0.5 rad off", ("not_following",), STATES[1:], change=values("position", added(0.5))),
    Fault("torque: a peak", ("torque",), STATES[1:], change=values("effort", one(_MOST_Nm)), lasts_s=0.05),
    Fault("torque: too much for long", ("torque",), STATES[1:], change=values("effort", every(_MOST_Nm))),
    Fault("wrench: a peak", ("force",), WRENCH, change=force(400.0), lasts_s=0.05),
    Fault("wrench: too much for long", ("force",), WRENCH, change=force(300.0)),
    Fault("wrench: NaN", ("force", "wrench_quiet"), WRENCH, change=force(NAN)),
    Fault("wrench: silent", _WRENCH, WRENCH, "drop"),
    Fault("wrench: silent for the supervisor", ("wrench_quiet",), WRENCH[1:], "drop"),
    Fault("wrench: frozen", ("wrench_frozen",), WRENCH, change=frozen, fast=True),
    Fault("wrench: the clock jumps ahead", _WRENCH, WRENCH, change=stamped(5)),
    # from the supervisor to the arm
    Fault("setpoints: partition", ("supervisor_silent",), _SETPOINTS, "drop", fast=True),
    Fault("setpoints: NaN", ("bad_setpoint",), _SETPOINTS, change=values("data", one(NAN))),
    Fault("setpoints: 0.3 rad further", ("setpoint_jump",), _SETPOINTS, change=values("data", added(0.3))),
    Fault("setpoints: 0.3 s late", ("supervisor_silent",), _SETPOINTS, "delay", late_s=0.3, fast=True),
    Fault("commands: partition", ("not_following",), _COMMAND, "drop", fast=True),
    # processes
    Fault("policy hung", _DEADMAN, process="policy", blow="stop"),
    Fault("policy killed", _DEADMAN, process="policy", blow="kill"),
    Fault("supervisor hung", ("supervisor_silent",), process="supervisor", blow="stop", fast=True),
    Fault(
        "supervisor hung for 0.12 s", ("late",), process="supervisor", blow="stop", lasts_s=0.12, stops=False, fast=True
    ),
    Fault("supervisor killed", ("supervisor_silent",), process="supervisor", blow="kill", fast=True),
    Fault("watchdog hung", ("watchdog", "not_following"), process="watchdog", blow="stop", lasts_s=1.5),
    Fault("watchdog killed", ("watchdog", "not_following"), process="watchdog", blow="kill", lasts_s=1.5),
    Fault("recorder: disk full", ("recorder",), process="recorder", blow="full", lasts_s=2.0, once_named=True),
    Fault("recorder killed", ("recorder",), process="recorder", blow="kill", lasts_s=2.0, within_s=1.3),
)
