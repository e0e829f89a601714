"""Run a tool in several processes with torchrun; hide torchrun's tracebacks and return the tool's exit status."""

import argparse
import logging
import os
import sys
from functools import partial

from oil_storage.cli.arguments import count
from oil_storage.cli.command import run


def build_parser() -> argparse.ArgumentParser:
    """Build the parser for the arguments that tools/dist_train.sh and tools/dist_test.sh pass."""
    parser = argparse.ArgumentParser(prog="python -m oil_storage.cli.launch", description=__doc__)
    parser.add_argument(
        "processes", metavar="GPUS", type=count, help="number of processes on this machine, one per GPU"
    )
    parser.add_argument("tool", help="tools/train.py or tools/test.py")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the tool")
    return parser


def torchrun_arguments(processes: int) -> list[str]:
    """Return flags for torchrun from the optional variables NNODES, NODE_RANK, MASTER_ADDR and PORT."""
    given = {"NNODES": "1", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "PORT": "29500"} | os.environ
    if given["NNODES"] == "1" and "PORT" not in os.environ:
        return ["--standalone", f"--nproc_per_node={processes}"]
    flags = {"nnodes": "NNODES", "node_rank": "NODE_RANK", "master_addr": "MASTER_ADDR", "master_port": "PORT"}
    return [*(f"--{flag}={given[name]}" for flag, name in flags.items()), f"--nproc_per_node={processes}"]


def launch(args: argparse.Namespace) -> int:
    """Run the processes; return 0, or the exit status of the first that failed. torchrun forwards signals to them."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.processes)))
    logging.disable(logging.ERROR)  # hide torchrun's messages; a failed process reports its own error

    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = [*torchrun_arguments(args.processes), args.tool, *args.arguments, "--launcher", "pytorch"]
    try:
        torchrun.run(torchrun.parse_args(arguments))  # type: ignore[no-untyped-call]
    except SignalException as stop:
        return 128 + stop.sigval
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    return 0


main = partial(run, build_parser, launch)


if __name__ == "__main__":
    sys.exit(main())
