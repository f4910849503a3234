from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from masivo.demo.processes import Died, Programs


# A program as Airflow's are: it overwrites its title and with it its environment, its child makes a
# process group of its own, and its grandchild loses its parent.
FAMILY = """
import os, subprocess, sys, time
grandchild = "import time; time.sleep(60)"
child = f"import os, subprocess, sys; os.setpgid(0, 0); subprocess.Popen([sys.executable, '-c', {grandchild!r}])"
subprocess.run([sys.executable, "-c", child])
open("ready", "w").close()
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("ready", "w").close()
time.sleep(60)
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Programs(tmp_path / "list", patience_s=0.5)


@pytest.fixture
def start(programs):
    started = []

    def _start(text, name="program"):
        module = programs.path.with_name(f"{name}.py")
        module.write_text(text)
        environment = os.environ | {"PYTHONPATH": str(module.parent)}
        started.append(programs.start(name, [name], environment, module.with_suffix(".log")))
        return started[-1]

    yield _start
    programs.stop()
    for program in started:
        program.process.wait()


def wait_for(path):
    while not path.exists():
        psutil.Process().cpu_percent(interval=0.02)


def test_stopping_ends_a_program_and_all_that_came_of_it(programs, start, tmp_path):
    start(FAMILY)
    wait_for(tmp_path / "ready")
    assert len(programs.running()) == 2  # the child has ended; the grandchild has no parent any more
    programs.stop()
    assert programs.running() == []


def test_a_program_that_does_not_want_to_end_is_killed(programs, start, tmp_path):
    stubborn = start(STUBBORN)
    wait_for(tmp_path / "ready")
    programs.stop()
    # It ignores SIGTERM and sleeps for a minute, so it is gone only if it was killed. Its exit code
    # may be lost: whoever waits first has it.
    stubborn.process.wait(timeout=10)
    assert not psutil.pid_exists(stubborn.process.pid)


def test_programs_are_found_again_by_their_list_alone(programs, start, tmp_path):
    start(FAMILY)
    wait_for(tmp_path / "ready")
    assert len(Programs(programs.path).running()) == 2


def test_a_number_that_belongs_to_somebody_else_by_now_is_left_alone(programs):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as stranger:
        programs.path.write_text(f"{stranger.pid} {psutil.Process(stranger.pid).create_time() - 3600}\n")
        assert programs.running() == []
        assert programs.stop() == 0
        assert stranger.poll() is None
        stranger.kill()


def test_a_program_that_died_is_named_with_the_end_of_its_log(start):
    program = start("import sys; sys.exit('the disk is full')", name="sandbox")
    with pytest.raises(Died, match=r"the sandbox ended with 1[\s\S]*the disk is full"):
        program.finish()
    with pytest.raises(Died):
        program.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_demo_that_is_killed(programs, tmp_path, number):
    start_and_wait = f"""
        from pathlib import Path
        import sys, time
        from masivo.demo.processes import Programs
        programs = Programs(Path({str(programs.path)!r}), patience_s=0.5)
        with programs.guarded():
            programs.start("family", ["family"], {{"PYTHONPATH": {str(tmp_path)!r}}}, Path("log"))
            time.sleep(60)
    """
    (tmp_path / "family.py").write_text(FAMILY)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(start_and_wait)], env=environment) as demo:
        wait_for(tmp_path / "ready")
        (guard,) = psutil.Process(demo.pid).children()[:1]
        left = programs.running()
        demo.send_signal(number)
    psutil.wait_procs([guard, *left], timeout=30)
    assert programs.running() == []
    assert not guard.is_running()
    assert left
