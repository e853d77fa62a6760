"""What `tpc-stream doctor` says of GPUs: the default path needs none of it, so nothing here makes it ill."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from tpc_stream.errors import TpcStreamError
from tpc_stream.finding import Finding

HARDWARE_CODECS = ("h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_cuvid", "hevc_cuvid")


def gpu_findings() -> Iterator[Finding]:
    """GPU and driver, CUDA, TensorRT, ONNX Runtime's GPU providers, hardware codecs, plans; each tried, not assumed."""
    yield _gpu()
    yield _cuda()
    yield _tensorrt()
    yield from _providers()
    yield _codecs()
    yield _plans()


def _gpu() -> Finding:
    from tpc_stream.plans.find_gpu import find_gpus

    try:
        gpus = find_gpus()
    except TpcStreamError as error:
        return Finding("gpu", False, str(error), needed=False)
    return Finding("gpu", True, "; ".join(map(str, gpus)), needed=False)


def _cuda() -> Finding:
    """The runtime of the trt backend, asked for its devices."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        return Finding("cuda", False, "no cuda-bindings, for --backend trt", "pip install cuda-bindings", needed=False)
    status, count = runtime.cudaGetDeviceCount()
    if status != runtime.cudaError_t.cudaSuccess:
        _, text = runtime.cudaGetErrorString(status)
        return Finding("cuda", False, f"cuda-bindings {version('cuda-bindings')}: {text.decode()}", needed=False)
    return Finding("cuda", True, f"cuda-bindings {version('cuda-bindings')}, {count} devices", needed=False)


def _tensorrt() -> Finding:
    from tpc_stream.backends.trt import INSTALL, require_packages

    try:
        require_packages()
        found = version("tensorrt")
    except (TpcStreamError, PackageNotFoundError):
        return Finding("tensorrt", False, "not installed, for --backend trt", INSTALL, needed=False)
    return Finding("tensorrt", True, f"{found}, for --backend trt", needed=False)


def _providers() -> Iterator[Finding]:
    """Each GPU provider opens a graph of the default bundle, or says why it cannot."""
    import onnxruntime as ort

    from tpc_stream.backends.onnxrt_providers import PROVIDERS, nodes_by_provider, open_session, require
    from tpc_stream.bundle import find_bundle

    for setting, provider in PROVIDERS.items():
        what = f"onnxrt:{setting}"
        try:
            require(provider)
            options = ort.SessionOptions()
            options.log_severity_level = 4
            session = open_session(provider, find_bundle("mannequin") / "pose.onnx", options)
        except TpcStreamError as error:
            yield Finding(what, False, str(error), needed=False)
        else:
            told = ", ".join(f"{count} nodes on {name}" for name, count in nodes_by_provider(session).items())
            yield Finding(what, True, f"opens the default bundle's pose graph: {told}", needed=False)


def _codecs() -> Finding:
    """NVENC, started on this machine; what PyAV was built with is told beside."""
    import av

    from tpc_stream.writing.hardware import fault_of

    built_in = ", ".join(name for name in HARDWARE_CODECS if name in av.codecs_available) or "none"
    fault = fault_of("h264_nvenc")
    told = f"PyAV has {built_in}; --hwaccel says whether they are used"
    return Finding("hardware codecs", not fault, f"{fault or 'h264_nvenc starts'}; {told}", needed=False)


def _plans() -> Finding:
    from tpc_stream.plans.cache import PlanCache

    cache = PlanCache()
    kept = list(cache.records())
    if not kept:
        mend = "tpc-stream build makes them where there is a GPU"
        return Finding("plans", False, f"none in {cache.folder}", mend, needed=False)
    gpus = sorted({str(noted["key"]["gpu"]["name"]) for noted in kept})
    megabytes = sum(path.stat().st_size for path in cache.folder.glob("*.plan")) / 2**20
    return Finding(
        "plans", True, f"{len(kept)} for {', '.join(gpus)}, {megabytes:.0f} MiB in {cache.folder}", needed=False
    )
