"""
A test is green or red by itself, and not by the company that it is in.
"""

from __future__ import annotations

import locale
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import leftovers


ROOT = Path(__file__).parent.parent

FILE = """
import os, pytest
from airflow.sdk.log import mask_secret, redact

@pytest.fixture(scope="module")
def shop():
    os.environ["MASIVO_LEFT_BY_A_FIXTURE"] = "shop"

def test_one(shop):
    os.environ["MASIVO_LEFT_BY_A_TEST"] = "s3cr3t"
    mask_secret("s3cr3t")
    assert redact("it is s3cr3t") == "it is ***"

def test_two():
    assert redact("it is s3cr3t") == "it is s3cr3t"
    assert "MASIVO_LEFT_BY_A_TEST" not in os.environ
    assert "MASIVO_LEFT_BY_A_FIXTURE" in os.environ
"""
NEXT = """
import os

def test_three():
    assert [name for name in os.environ if name.startswith("MASIVO_LEFT")] == []
"""
IMPORTED = "import os\nos.environ['MASIVO_LEFT_BY_AN_IMPORT'] = 's3cr3t'"


def _time_zone():
    os.environ["TZ"] = "Pacific/Auckland"
    time.tzset()


@pytest.mark.parametrize(
    ("change", "read", "named"),
    [
        (lambda: os.environ.update(MASIVO_LEFT="s3cr3t"), lambda: os.environ.get("MASIVO_LEFT"), "MASIVO_LEFT"),
        (lambda: os.environ.pop("PATH"), lambda: os.environ.get("PATH"), "environment variables: PATH"),
        (lambda: os.chdir("/"), os.getcwd, "the working directory"),
        (lambda: sys.path.insert(0, "/nowhere"), lambda: [*sys.path], "sys.path"),
        (_time_zone, lambda: time.tzname, "the time zone"),
        (lambda: os.umask(0o011), lambda: os.umask(os.umask(0o022)), "the umask"),
        (lambda: locale.setlocale(locale.LC_NUMERIC, "C.UTF-8"), lambda: locale.setlocale(locale.LC_ALL), "the locale"),
        (
            lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
            lambda: signal.getsignal(signal.SIGTERM),
            "handlers of signals: SIGTERM",
        ),
        (lambda: logging.getLogger("airflow").setLevel(55), logging.getLogger("airflow").getEffectiveLevel, "airflow"),
        (lambda: logging.disable(55), lambda: logging.root.manager.disable, "what logging leaves out"),
        (lambda: socket.setdefaulttimeout(55), socket.getdefaulttimeout, "the time-out of sockets"),
    ],
)
def test_whatever_is_left_is_named_without_its_value_and_put_back(change, read, named):
    before = read()
    with pytest.raises(leftovers.LeftBehind) as left, leftovers.none_of("this test"):
        change()
    assert str(left.value).startswith("this test left its process changed")
    assert named in str(left.value)
    assert "s3cr3t" not in str(left.value)
    assert read() == before


def test_who_leaves_something_fails_and_nobody_after_it_finds_it(tmp_path):
    (tmp_path / "test_first.py").write_text(FILE)
    (tmp_path / "test_next.py").write_text(NEXT)
    (tmp_path / "test_no.py").write_text(IMPORTED)
    options = (
        f"-q -c {ROOT / 'pyproject.toml'} --rootdir {tmp_path} -p tests.conftest -p no:cacheprovider"
        " --continue-on-collection-errors".split()
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")))},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "3 passed, 3 errors" in ran.stdout, ran.stdout + ran.stderr
    changed = "left its process changed (environment variables: MASIVO_LEFT_BY_A"
    assert f"test_first.py::test_one {changed}_TEST)" in ran.stdout
    assert f"importing test_no.py {changed}N_IMPORT)" in ran.stdout
    assert f"a fixture of test_first.py {changed}_FIXTURE)" in ran.stdout
