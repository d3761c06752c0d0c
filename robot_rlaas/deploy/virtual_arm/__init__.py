"""The virtual arm: a MuJoCo twin behind the topics of a real one. Nothing else under deploy/ needs a simulator."""
