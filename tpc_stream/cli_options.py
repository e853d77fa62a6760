"""The options of `tpc-stream animate`, each with its help."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Reference = Annotated[str, typer.Option("--reference", "-r", help="The picture of the person.")]
Motion = Annotated[
    str, typer.Option("--motion", "-m", help="Video, URL, folder or pattern of pictures, picture, or webcam[:N].")
]
Out = Annotated[
    str, typer.Option("--out", "-o", help="The video: .mp4, .mkv, .webm, .mov; or pictures: DIR/ or DIR/%05d.png.")
]
ReferenceMask = Annotated[
    str | None, typer.Option(help="A picture whose bright pixels are the person. Default: alpha, else estimated.")
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Denoising steps. Default: the bundle's.", rich_help_panel="Model")
]
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale; 1 is none. Default: the bundle's.", rich_help_panel="Model")
]
Seed = Annotated[int, typer.Option(min=0, help="Noise and draws.", rich_help_panel="Model")]
Tpc = Annotated[bool, typer.Option("--tpc/--no-tpc", help="Calibrate the reference.", rich_help_panel="Calibration")]
GroupSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Frames sharing a calibrated feature (m); 1: none. Default 4.", rich_help_panel="Calibration"
    ),
]
Groups = Annotated[
    int | None, typer.Option(min=1, help="Groups in a window (M) instead.", rich_help_panel="Calibration")
]
HoldSeconds = Annotated[
    float, typer.Option(min=0, help="How long the last calibration is held.", rich_help_panel="Calibration")
]
MinVisibility = Annotated[
    float,
    typer.Option(min=0, max=1, help="Keypoints below it are left out of the search.", rich_help_panel="Calibration"),
]
Window = Annotated[int | None, typer.Option(min=1, help="Frames denoised together (L).", rich_help_panel="Window")]
Overlap = Annotated[
    int | None, typer.Option(min=0, help="Frames shared with the window before.", rich_help_panel="Window")
]
Start = Annotated[float, typer.Option(min=0, help="Begin here, seconds.", rich_help_panel="Range")]
End = Annotated[float | None, typer.Option(min=0, help="Stop here, seconds.", rich_help_panel="Range")]
MaxFrames = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.", rich_help_panel="Range")]
Fit = Annotated[
    Literal["crop", "pad"],
    typer.Option(help="pad keeps the whole picture, crop fills the frame.", rich_help_panel="Picture"),
]
Size = Annotated[
    str | None, typer.Option(help="Output WxH in pixels. Default: the bundle's.", rich_help_panel="Picture")
]
SideBySide = Annotated[
    bool,
    typer.Option("--side-by-side", help="Reference, driving, calibrated and output in one.", rich_help_panel="Picture"),
]
Codec = Annotated[
    Literal["h264", "hevc", "vp9", "av1", "ffv1"] | None,
    typer.Option(help="Video codec. Default: h264, vp9 for .webm.", rich_help_panel="File"),
]
Crf = Annotated[int | None, typer.Option(min=0, help="Quality; lower is better.", rich_help_panel="File")]
Faststart = Annotated[
    bool, typer.Option("--faststart", help="Put an MP4's index at the front.", rich_help_panel="File")
]
Sound = Annotated[bool, typer.Option("--sound/--no-sound", help="Copy the sound.", rich_help_panel="File")]
AudioTrack = Annotated[
    int, typer.Option(min=0, help="Which of the driving video's sound tracks.", rich_help_panel="File")
]
Sheet = Annotated[bool, typer.Option("--sheet/--no-sheet", help="Write the contact sheet.", rich_help_panel="File")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write profile and trace.", rich_help_panel="File")]
Bundle = Annotated[str, typer.Option(help="Engine bundle: a name or a folder.", rich_help_panel="Model")]
Backend = Annotated[str, typer.Option(help="What runs the graphs: onnxrt.", rich_help_panel="Model")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads of an engine; 0: all cores.", rich_help_panel="Model")]
