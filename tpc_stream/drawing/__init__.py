"""Pose pictures: what a pose network is shown of a body, in the manner that it was trained on."""
