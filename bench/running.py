# SPDX-License-Identifier: Apache-2.0
"""running - how the measurements run other programs"""
import subprocess
import threading

WAIT_S = 900  # for any one program; only a hang reaches it


def run(*argv, **options):
    """subprocess.run() with check=True and a time-out, without what the latter costs there: it looks for the program's end only every 50 ms."""
    given = options.pop('input', None)
    options.setdefault('stdin', subprocess.PIPE if given is not None else subprocess.DEVNULL)
    with subprocess.Popen(list(map(str, argv)), **options) as process:
        timer = threading.Timer(WAIT_S, process.kill)
        timer.start()
        try:
            out, error = process.communicate(given)
        finally:
            timer.cancel()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args, out, error)
    return subprocess.CompletedProcess(process.args, 0, out, error)
