"""Kind of the processor, which decides how fast and how exact 8-bit networks are."""

import os
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
VNNI = {"avx512_vnni", "avx_vnni"}
"""Instructions that multiply 8-bit numbers and add the products in 32 bits."""


def kind() -> str:
    """Return ``vnni``, ``avx2`` or ``other``.

    If the environment variable ``ONEDNN_MAX_CPU_ISA`` restricts oneDNN, and with it OpenVINO, to AVX2, return ``avx2``.
    """
    text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    found = re.search(r"^flags\s*:(.*)$", text, flags=re.M)
    flags = set(found[1].split()) if found else set()
    if flags & VNNI and os.environ.get("ONEDNN_MAX_CPU_ISA") != "AVX2":
        return "vnni"
    return "avx2" if "avx2" in flags else "other"
