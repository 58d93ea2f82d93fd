"""The check that a script has a main guard, ``if __name__ == "__main__":``, before it starts processes that decode media.

A spawned process imports the script of its parent first. Without the guard, the script would train once more in each of these
processes; Python refuses that, so that no file is ever decoded. The check finds this out before anything is spent: the
parent lets one process, the probe, import the script, and if the script calls mmrl there, mmrl ends the probe at once.
"""

import multiprocessing
import sys
from pathlib import Path

PROBE = "mmrl: imports the script"  # the name of the process that only tries whether processes can start
UNGUARDED = 86  # the exit status of the probe in which the script began to train
PATIENCE = 300.0  # seconds that a process may take to import the script
found_good: set[str] = set()  # scripts that a process has imported


def check_main_guard(workers: int) -> None:
    """Refuse a script that its own processes would run again. Each script is tested once, by a process that imports it.

    Does nothing where no process will be started (``workers`` is 0) or where processes import no script: in a notebook, at a
    prompt, and under ``python -m PACKAGE``. Raises RuntimeError.
    """
    refuse_second_run()
    script = script_of_children()
    if workers == 0 or script is None or script in found_good:
        return
    status = status_of_probe()
    if status == UNGUARDED:
        raise RuntimeError(remedy(script))
    if status != 0:
        found = f"no end of it after {PATIENCE:g} s" if status is None else f"exit status {status}"
        raise RuntimeError(
            f"{script}: expected that a process which decodes media can import this script, found {found}; its "
            "output is above. Correct the error, or set workers: 0, which decodes in this process"
        )
    found_good.add(script)


def trust_script() -> None:
    """Skip the check: the program that began this process is known to start nothing when it is imported."""
    found_good.add(script_of_children() or "")


def refuse_second_run() -> None:
    """If this process is importing its parent's script at this moment, end it (the probe) or raise RuntimeError (any other)."""
    process = multiprocessing.current_process()
    if not getattr(process, "_inheriting", False):  # set by multiprocessing.spawn while it imports the script
        return
    if process.name == PROBE:
        raise SystemExit(UNGUARDED)  # the parent says what is wrong
    raise RuntimeError(remedy(script_of_children() or "the script"))


def script_of_children() -> str | None:
    """Return the script that a spawned process imports, by file or module name; None where it imports none.

    The same choice as multiprocessing.spawn makes.
    """
    main = sys.modules["__main__"]
    if sys.modules.get("__mp_main__") is not None:  # in a child, by which name the script is imported there
        main = sys.modules["__mp_main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return None if name.endswith("__main__") else name
    file = getattr(main, "__file__", None)
    return None if file is None or Path(file).stem == "ipython" else str(file)


def status_of_probe() -> int | None:
    """Start a process that does nothing but import the script; return its exit status, None if it did not end in time."""
    process = multiprocessing.get_context("spawn").Process(target=nothing, name=PROBE, daemon=True)
    process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def nothing() -> None:
    """Do nothing: the probe only imports the script."""


def remedy(script: str) -> str:
    """Return a message that says what is wrong with a script, and the two lines that correct it."""
    return (
        f'{script}: expected the script to run under `if __name__ == "__main__":`, because every process that decodes media '
        "imports the script first, and would train or evaluate once more; found calls of mmrl outside it. Put them into a "
        'function and end the script with\n\n    if __name__ == "__main__":\n        main()\n\n'
        "or set workers: 0, which decodes in this process."
    )
