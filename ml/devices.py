"""Where a training computes, how precisely, and what that needs of the process."""

import ctypes
import sys
from pathlib import Path

import torch

from ml.configuration import TrainingError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_memory() -> None:
    """Let freed batches stay with the process.

    glibc hands large blocks back to the kernel at once; faulting them in again took longer than
    the arithmetic on them (an augmented batch: 341 ms, with this 93 ms).
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**28)


def is_out_of_memory(error: BaseException) -> bool:
    """torch raises RuntimeError too, on a CPU without a class of its own."""
    words = ("out of memory", "allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(said in str(error) for said in words)


def choose_device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("There is no CUDA GPU here: use --device cpu or --device auto.")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """bf16 where the chip computes in it; elsewhere it would be emulated and slow."""
    if wanted == "auto":
        able = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
        wanted = "bf16" if able else "fp32"
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[wanted]


def choose_layout(precision: torch.dtype, device: torch.device) -> torch.memory_format:
    """Of images in memory: on a CPU, fp32 kernels for channels-last are slower below 128 px.

    A ResNet34's step at 32 px took 53 core-ms an image with it, 28 without; at 128 px as long.
    """
    plain = device.type == "cpu" and precision == torch.float32
    return torch.contiguous_format if plain else torch.channels_last


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
