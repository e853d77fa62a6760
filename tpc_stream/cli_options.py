"""The options of `tpc-stream animate`, each with its help."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tpc_stream.drop_policy import DropPolicy
from tpc_stream.hwaccel import HwAccel
from tpc_stream.steady import SteadyConfig
from tpc_stream.writing.destination import PreviewKind, RawFormat

Reference = Annotated[str, typer.Option("--reference", "-r", help="The picture of the person.")]
Motion = Annotated[
    str,
    typer.Option(
        "--motion",
        "-m",
        help="Video, URL, folder or pattern of pictures, picture, webcam[:N], screen:[WxH+X+Y], or - for a pipe.",
    ),
]
Out = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        help="The video: .mp4, .mkv, .webm, .mov; pictures: DIR/ or DIR/%05d.png; rtmp://, rtsp://, udp://, tcp://; "
        "- for raw frames; virtualcam; none.",
    ),
]
ReferenceMask = Annotated[
    str | None, typer.Option(help="A picture whose bright pixels are the person. Default: alpha, else estimated.")
]
PoseVideo = Annotated[
    str | None,
    typer.Option(help="Pose pictures (such as DensePose), frame by frame with the motion. Default: drawn."),
]
Sam = Annotated[
    str | None, typer.Option(help="A folder of python -m export sam: SAM cuts the person out of the reference.")
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
Transform = Annotated[
    Literal["procrustes", "linear", "affine"],
    typer.Option(help="procrustes; linear and affine are to compare it with.", rich_help_panel="Calibration"),
]
DEFAULT_STEADY_TOLERANCE = SteadyConfig().tolerance
SteadyTolerance = Annotated[
    float,
    typer.Option(
        min=0, help="Share of IoU squared that a frame may lose to be steady; 0: none.", rich_help_panel="Calibration"
    ),
]
Schedule = Annotated[
    Literal["window", "diagonal"],
    typer.Option(help="window; diagonal has the least delay.", rich_help_panel="Window"),
]
Chunk = Annotated[
    int | None,
    typer.Option(min=1, help="Frames that enter the diagonal together. Default 1.", rich_help_panel="Window"),
]
Window = Annotated[int | None, typer.Option(min=1, help="Frames denoised together (L).", rich_help_panel="Window")]
Overlap = Annotated[
    int | None, typer.Option(min=0, help="Frames shared with the window before.", rich_help_panel="Window")
]
Start = Annotated[float, typer.Option(min=0, help="Begin here, seconds.", rich_help_panel="Range")]
End = Annotated[float | None, typer.Option(min=0, help="Stop here, seconds.", rich_help_panel="Range")]
MaxFrames = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.", rich_help_panel="Range")]
Realtime = Annotated[
    bool, typer.Option("--realtime", help="Play a file at its own rate, like a camera.", rich_help_panel="Live")
]
Drop = Annotated[
    DropPolicy | None,
    typer.Option(
        help="Frames too fast for the pipeline: keep the latest, the oldest, all (none dropped), or thin them evenly "
        "(adaptive). Default: latest if live, none for files and pipes.",
        rich_help_panel="Live",
    ),
]
ReconnectSeconds = Annotated[
    float, typer.Option(min=0, help="How long a source that is gone is tried again.", rich_help_panel="Live")
]
CaptureSize = Annotated[str | None, typer.Option(help="WxH to ask a camera or the screen for.", rich_help_panel="Live")]
CaptureRate = Annotated[
    float | None, typer.Option(help="Frames a second to ask a camera, screen or pipe for.", rich_help_panel="Live")
]
Preview = Annotated[
    PreviewKind | None, typer.Option(help="Watch the frames while they are made.", rich_help_panel="Live")
]
Raw = Annotated[RawFormat, typer.Option(help="What --out - writes.", rich_help_panel="Live")]
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
Report = Annotated[
    bool, typer.Option("--report/--no-report", help="Write profile, page and trace beside it.", rich_help_panel="File")
]
Json = Annotated[
    str | None, typer.Option("--json", help="Write the profile there (docs/profile.md).", rich_help_panel="Profile")
]
Html = Annotated[
    str | None, typer.Option("--html", help="Write the profile as a web page there.", rich_help_panel="Profile")
]
Csv = Annotated[str | None, typer.Option("--csv", help="Write one row a frame there.", rich_help_panel="Profile")]
Trace = Annotated[
    str | None, typer.Option("--trace", help="Write the trace for Perfetto there.", rich_help_panel="Profile")
]
Plan = Annotated[
    bool | None,
    typer.Option(
        "--plan/--no-plan",
        help="Measure for two seconds what can be reached, and say so. Default: for live sources.",
        rich_help_panel="Profile",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say the plan, measured, and stop.", rich_help_panel="Profile")]
Bundle = Annotated[str, typer.Option(help="Engine bundle: a name or a folder.", rich_help_panel="Model")]
Backend = Annotated[
    str,
    typer.Option(
        help="What runs the graphs: onnxrt on the CPU; onnxrt:cuda, onnxrt:tensorrt, onnxrt:trt-rtx, trt on a GPU; "
        "simulated:denoise=20,decode=5 gives grey after so many milliseconds.",
        rich_help_panel="Model",
    ),
]
RetryPrecision = Annotated[
    Literal["fp32"] | None,
    typer.Option(
        help="fp32: a pass on a GPU that gives NaN or black is made once more in float32. Default: the run ends.",
        rich_help_panel="Model",
    ),
]
Hwaccel = Annotated[
    HwAccel,
    typer.Option(
        help="Decode and encode video on the GPU where it can: cuda; auto: with a backend on a GPU; none.",
        rich_help_panel="File",
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads of an engine; 0: all cores.", rich_help_panel="Model")]
ChunkSeconds = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Work in chunks of so many seconds, which are kept in OUT.tpc: the same command goes on where it was "
        "killed. 0: one chunk. Default: with --workers from the video's length, else no chunks.",
        rich_help_panel="Long videos",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes, each with its own engines. Default: 1; with --ray what the cluster has room for.",
        rich_help_panel="Long videos",
    ),
]
Devices = Annotated[
    str | None, typer.Option(help="A worker for each of these GPUs, such as 0,1.", rich_help_panel="Long videos")
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|auto|local",
        help="Make the chunks on a Ray cluster: HOST:PORT of its head, auto (the one that runs here), or local (one "
        "is started here).",
        rich_help_panel="Long videos",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|object",
        help="How files travel with --ray: Ray's object store, or a folder that all machines see. Default: object; "
        "for local nothing travels.",
        rich_help_panel="Long videos",
    ),
]
Retries = Annotated[
    int, typer.Option(min=0, help="How often a chunk is made again whose worker died.", rich_help_panel="Long videos")
]
KeepJob = Annotated[
    bool, typer.Option("--keep-job", help="Leave OUT.tpc there at the end.", rich_help_panel="Long videos")
]
ProgressKind = Annotated[
    Literal["json"] | None,
    typer.Option("--progress", help="json: one object a line on stdout.", rich_help_panel="Long videos"),
]
