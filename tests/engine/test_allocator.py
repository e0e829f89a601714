import subprocess
import sys

SCRIPT = """
import resource, sys
import numpy as np
from oil_storage.engine.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = faults()
for _ in range(6):
    np.ones(2**23)  # 64 MiB, beyond the threshold that glibc adapts by itself
print(faults() - before)
"""


def test_freed_memory_is_used_again_without_new_pages() -> None:
    pages = {}
    for mode in ("keep", "return"):  # in new processes, because the settings stay
        done = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
        pages[mode] = int(done.stdout)
    assert pages["keep"] < pages["return"] / 3
