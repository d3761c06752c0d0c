"""The supervisor between a policy and the arm's controller: it checks every target, times it, and stops the arm.

It plays targets at its own clock. A control period is a whole number of ticks; the setpoints within it come from
`control.interpolate`, so the limits that `control.safety` enforces on targets hold for every setpoint. Without a new
target the last one is repeated, which is a smooth stop; where something is wrong, every joint brakes at once as hard as
it may. It holds no ROS object and reads no clock: time is given to it.

What stops the arm stands in `senses` and `stops`, when targets are played in `stream`, what changes them in
`control.safety` and `clearance`, and how an arm that was stopped as it pressed is relieved in `easing`. Every
intervention is an event of the journal. Limits are given once: nothing can widen them while it runs.
"""

from collections.abc import Sequence

import numpy as np

from robot_rlaas.bundle.domain import Domain
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.arm import UNKNOWN, Arm
from robot_rlaas.deploy.arrivals import Arrival, refusal
from robot_rlaas.deploy.counts import Counts
from robot_rlaas.deploy.easing import SETTLED_S, Easing
from robot_rlaas.deploy.events import Event, Journal
from robot_rlaas.deploy.limited import Limiter
from robot_rlaas.deploy.outside import Outside
from robot_rlaas.deploy.pace import LATE_TICKS
from robot_rlaas.deploy.player import Player
from robot_rlaas.deploy.senses import Senses, Trouble
from robot_rlaas.deploy.stops import Stops
from robot_rlaas.deploy.stream import Stream

NONSENSE = ("not_finite", "shape", "names", "future", "stale", "jump")  # whoever sends that is not waited for
FOREIGN_RAD = 0.05  # further than this from the last target, at rest, somebody else has moved the arm:
SILENT_S = 0.3  # without setpoints for so long, the watchdog takes the next one for a first one, where the arm is then


class Supervisor:
    """Checks and times the joint targets of one arm.

    Args:
        chain: the arm's kinematics; its joint names are the order of every vector here.
        envelope: what the safety filter enforces, and the force that stops the arm.
        period_s: between two targets.
        tick_s: between two setpoints; call `tick` once per tick.
        arm: what else is known of it.
        domain: what the policy may see; None where nobody shall ask.

    Attributes:
        connected: somebody takes the setpoints, and records; set it to false while nobody does.
    """

    def __init__(
        self,
        chain: SerialChain,
        envelope: Envelope,
        period_s: float,
        tick_s: float,
        arm: Arm = UNKNOWN,
        domain: Domain | None = None,
    ) -> None:
        self.chain, self.envelope = chain, envelope
        self.period_s, self.tick_s = period_s, tick_s
        self.counts, self.journal = Counts(chain.joints), Journal()
        self._senses = Senses(chain.joints, envelope.force_N, arm.torque_Nm, arm.quiet_s, arm.feels)
        self._stops = Stops(self.counts, self.journal)
        following = (envelope.speed_rad_s, period_s, self.counts, self.journal)
        self._outside = Outside(domain, *following) if domain else None
        self._limiter = Limiter(chain, envelope, period_s, arm.capsules, self.counts, self.journal)
        self._player = Player(envelope.acceleration_rad_s2, arm.jerk_rad_s3, tick_s)
        self._easing = Easing(chain, envelope.acceleration_rad_s2, period_s, tick_s, self._senses, self.journal)
        self.connected, self._awake_s, self._moved_s, self._given_s = True, np.inf, -np.inf, -np.inf
        rhythm = (envelope.acceleration_rad_s2, period_s, tick_s)
        self._stream = Stream(self._player, *rhythm, self.counts, self.journal)

    @property
    def latched(self) -> str | None:
        """The cause of the stop that somebody has to reset, or None."""
        return self._stops.latched

    @property
    def held(self) -> str | None:
        """The cause of the hold that will end by itself, or None."""
        return self._stops.held

    @property
    def why(self) -> str:
        """What the arm stands for, in one line; empty while it may move."""
        return self._stops.why

    def ready(self, now_s: float) -> bool:
        """Targets are of use: all sensors speak, and somebody takes the setpoints."""
        return self.connected and self._senses.ready(now_s)

    @property
    def leads(self) -> bool:
        """Targets come at the rate of ticks: each makes a tick of its own as soon as it is there."""
        return self._stream.leads

    @property
    def at_rest(self) -> bool:
        """The setpoint does not move any more."""
        return self._player.at_rest

    @property
    def velocity_rad_s(self) -> np.ndarray:
        """(k,) how fast the setpoint of the last tick moves."""
        return self._player.velocity_rad_s

    def measure(
        self,
        names: Sequence[str],
        position_rad: Sequence[float],
        now_s: float,
        torque_Nm: Sequence[float] = (),
        age_s: float = 0.0,
        sent_ns: int | None = None,
    ) -> None:
        """Take in measured joint angles, and torques, in any order and with other joints among them.

        Args:
            names: of the joints.
            position_rad: their angles.
            now_s: time of arrival, on the clock of `tick`.
            torque_Nm: as many as there are names, or none.
            age_s: how old the message's stamp is on arrival.
            sent_ns: that stamp.
        """
        self._senses.measure(names, position_rad, now_s, torque_Nm, age_s, sent_ns)

    def feel(self, wrench: Sequence[float], now_s: float, age_s: float = 0.0, sent_ns: int | None = None) -> None:
        """Take in a wrist force and torque, (6,) or (3,). What it reads before the first target is its zero."""
        self._senses.feel(wrench, now_s, self._player.targets is None, age_s, sent_ns)
        self.counts.peak_force_N = self._senses.peak_force_N

    def receive(
        self,
        names: Sequence[str],
        position_rad: Sequence[float],
        age_s: float,
        now_s: float,
        sent_ns: int | None = None,
    ) -> str | None:
        """Take in a target.

        Args:
            names: of the joints, in the order of `position_rad`; any order will do.
            position_rad: where they shall be at the end of the coming period.
            age_s: how old its stamp is on arrival.
            now_s: time of arrival, on the clock of `tick`.
            sent_ns: its stamp.

        Returns:
            Why it was not taken, one of counts.REJECTIONS, "latched" or "held", or None if it was.
        """
        self._wake(now_s)
        self.counts.targets += 1
        if self.latched:
            self.counts.ignored_while_latched += 1
            return "latched"
        targets = self._player.targets
        begins = targets is None or (self._foreign(now_s) and now_s - self._given_s > SILENT_S)
        base = self._senses.measured if begins or targets is None else targets[2]
        arrival = Arrival(names, position_rad, age_s, sent_ns, self._stream.since_ns)
        refused = refusal(arrival, self.chain.joints, base, self.envelope.speed_rad_s, self.period_s, self.ready(now_s))
        if refused is not None:
            self.counts.rejected[refused.cause] += 1
            self.journal.note(refused, now_s)
            self._stream.refuse(refused.cause)
            if refused.cause in NONSENSE:
                self._player.brake()
            return refused.cause
        if self.held:
            self.counts.ignored_while_held += 1
            return "held"
        if begins:
            self._player.stand(base)
        self._accept(np.array(arrival.ordered(self.chain.joints)), age_s, now_s, sent_ns)
        return None

    def see(self, seen: np.ndarray | None, age_s: float, now_s: float) -> None:
        """Take in what the policy saw for a target. See `Outside.see`."""
        if self._outside is not None:
            self._outside.see(seen, age_s, now_s)

    def fault(self, cause: str, text: str, now_s: float) -> None:
        """Latch a stop for what somebody else found."""
        self._stops.update(Trouble(cause, text), now_s)
        self.halt()

    def halt(self) -> None:
        """Brake, and forget the stream: within a moment the arm is at rest."""
        self._player.brake()
        self._easing.end("the arm has to stand")
        self._stream.end()

    def tick(self, now_s: float) -> np.ndarray | None:
        """The setpoint (k,) to send at `now_s`, or None while there is nothing to send.

        There is nothing before the first target, nor for an arm that is elsewhere: it would jump there.
        """
        self._wake(now_s)
        if not self.at_rest:
            self._moved_s = now_s
        active = self._stream.running or not self.at_rest or self._stops.standing
        if self._stops.update(self._trouble(now_s) if active else None, now_s):
            self.halt()
        self._ease(now_s)
        position = self._next_setpoint(now_s)
        if position is not None:
            self._given_s = now_s
            self._senses.sent(now_s, position)
        return position

    def reset(self, now_s: float = 0.0) -> str:
        """Unlatch a stop -> what was latched, or "nothing". The zero of the force is kept."""
        if self.latched == "not_following":
            self._player.stand(self._senses.measured)  # it may be anywhere
        return self._stops.reset(now_s)

    def _ease(self, now_s: float) -> None:
        """See that the arm presses no more after a stop for that."""
        if self._player.targets is None:
            return
        rested_s = now_s - self._moved_s
        if self._easing.look(self.latched, self._player.targets[2], rested_s, self.ready(now_s), now_s):
            self.halt()

    def _trouble(self, now_s: float) -> Trouble | None:
        return self._senses.trouble(now_s) or (self._outside.trouble(now_s) if self._outside else None)

    def _foreign(self, now_s: float) -> bool:
        """At rest, and somebody else has moved the arm since."""
        targets, moving = self._player.targets, self._stream.running or not self.at_rest
        if targets is None or moving or now_s - self._moved_s < SETTLED_S:
            return False
        return bool(np.abs(targets[2] - self._senses.measured).max() > FOREIGN_RAD)

    def _accept(self, target: np.ndarray, age_s: float, now_s: float, sent_ns: int | None) -> None:
        self.counts.worst_latency_s = max(self.counts.worst_latency_s, age_s)
        if self.at_rest and not self._stream.running:
            self._senses.begin()
        if self._outside is not None:
            self._outside.target(now_s)
        self._stream.take(target, now_s, sent_ns)

    def _next_setpoint(self, now_s: float) -> np.ndarray | None:
        if self._player.targets is None or self.latched == "not_following":
            return None
        if not self._player.braking and not self._player.ticks_left:
            if not (self._stream.running or self._easing.going or self._stream.due(now_s)) and self.at_rest:
                elsewhere = self._foreign(now_s) and not self._easing.waiting
                return None if elsewhere else self._player.rest(now_s)
            self._next_period(now_s)
        return self._player.play(now_s)

    def _wake(self, now_s: float) -> None:
        """Notice when this process did not run for a while: by the same rule, the watchdog has braked the arm."""
        gap_s, self._awake_s = now_s - self._awake_s, now_s
        if gap_s <= (LATE_TICKS + 0.5) * self.tick_s:
            return
        self._senses.excuse(gap_s)
        if self.at_rest:
            return
        self._player.brake()
        self._easing.end("the supervisor came late")
        self.counts.late_stops += 1
        text = "the supervisor came late: the machine is too busy"
        self.journal.note(Event("braked", "late", text, "", gap_s, LATE_TICKS * self.tick_s, "s"), now_s)

    def _next_period(self, now_s: float) -> None:
        """Choose the target of the coming period, and make it safe."""
        wanted, ticks = self._stream.next(now_s)
        self._player.begin(self._safe(wanted, now_s), ticks)

    def _safe(self, wanted: np.ndarray | None, now_s: float) -> np.ndarray:
        """The target that is taken for the wanted one, or for none."""
        player = self._player
        assert player.targets is not None
        last, step = player.targets[2], player.targets[2] - player.targets[1]
        if wanted is None:
            eased = self._easing.target(last)
            if eased is None:
                return self._limiter.rest(last, step)
            return self._limiter.safe(last, step, eased, True, now_s)[0]
        if self._outside is not None:
            slower = self._outside.slower(last, wanted, now_s)
            wanted, player.behind = slower, player.behind or slower is not wanted
        target, limited = self._limiter.safe(last, step, wanted, player.behind, now_s)
        player.behind &= limited
        return target
