"""How the person of the reference is found: every number of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tpc_stream.errors import InputError
from tpc_stream.people.estimator import PoseConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitConfig:
    """How the person of the reference is found. Defaults from trials on the sample references."""

    turns_degrees: tuple[float, ...] = (*range(0, 360, 60), *range(30, 360, 60))
    """The picture is looked at under each of these turns: the estimator fails on turned people, or sees them upside
    down, but not under all turns alike."""
    enough_agreeing: int = 6
    """Where the first so many turns give answers that all agree, the others are left out."""
    longest_side_pixels: int = 640
    """The picture is looked at no larger than this: the networks see 224 and 256 pixels of it."""
    agreement: float = 0.1
    """Of the body's size: how near the keypoints of two answers lie to count as the same."""
    min_agreeing: int = 2
    """So many answers must agree, where more than one turn is looked at; one alone may be an illusion."""
    closer_degrees: tuple[float, ...] = (-10.0, 0.0, 10.0)
    """Then the person is looked at closer: upright but for these turns, each of them mirrored as well."""
    closer_pixels: int = 512
    """The side of the closer view."""
    closer_fill: float = 0.75
    """Of the closer view: what the person's longer side fills."""
    closer_agreement: float = 0.15
    """Of the body's size: how near an answer of the closer look must lie to what the turns said."""
    min_closer: int = 3
    """So many answers of the closer look make the silhouette; fewer do not, and the turns' answers do."""
    lifted_to: float = 0.73
    """[0, 1]: the person's median brightness in the closer look, by a gamma curve that only brightens: the estimator
    misses dark limbs. On eight turned versions of the sample reference, whose median is 0.36, the mean IoU with the
    authors' mask was 0.85 here, 0.83 at 0.60 and 0.80 at 0.54."""
    least_gamma: float = 0.3
    """The curve is no steeper than this."""
    visible_from: float = 0.5
    """[0, 1]: the visibility from which a keypoint counts as seen."""
    comparable_size: float = 0.5
    """Of the person's size: from here on another person is worth a note."""
    note_turn_degrees: float = 30.0
    """A torso turned further than this is worth a note."""
    rival_share: float = 0.25
    """Of the winners' support: from here on a disagreeing group of answers gets a closer look of its own, and the group
    wins that stands it better."""
    doubtful_share: float = 0.5
    """As above: from here on the closer looks' result is worth a note, where the rival stood it this well too."""
    pose: PoseConfig = field(default_factory=PoseConfig)

    def __post_init__(self) -> None:
        if not self.turns_degrees or self.longest_side_pixels < 32 or self.min_agreeing < 1:
            raise InputError(
                f"a portrait needs at least one turn, 32 pixels and 1 agreeing answer, got {self.turns_degrees = } "
                f"{self.longest_side_pixels = } {self.min_agreeing = }"
            )
        if not (0.0 < self.lifted_to < 1.0 and 0.0 < self.least_gamma <= 1.0 and 0.0 < self.closer_fill <= 1.0):
            raise InputError(
                f"lifted_to lies between 0 and 1, least_gamma and closer_fill above 0 and up to 1, got "
                f"{self.lifted_to = } {self.least_gamma = } {self.closer_fill = }"
            )
