"""
``mapping.yaml``: what it must say, and the one sentence that each fault in it gets.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from masivo_engine.mapping.settings import settings_of
from masivo_engine.model.errors import MappingError


def sentence(tmp_path, content: str | bytes) -> str:
    """Return what is said of a mapping.yaml with *content*, without the file's name."""
    file = tmp_path / "mapping.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(MappingError) as caught:
        settings_of(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: ")
    assert "\n" not in said
    return said.removeprefix(f"{file}: ")


def test_the_least_that_it_says_is_a_time_zone(tmp_path):
    (tmp_path / "mapping.yaml").write_text("timezone: America/Mexico_City")
    settings = settings_of(tmp_path / "mapping.yaml")
    assert settings.zone_of("issued_at") == ZoneInfo("America/Mexico_City")
    assert (settings.places.money, settings.places.points, settings.places.quantity) == (2, 2, 3)


def test_a_column_may_have_a_zone_of_its_own_however_it_is_spelled(tmp_path):
    (tmp_path / "mapping.yaml").write_text("timezone: America/Mexico_City\ntimezones: {Issued_At: UTC}")
    settings = settings_of(tmp_path / "mapping.yaml")
    assert settings.zone_of("issued_at") == ZoneInfo("UTC")
    assert settings.zone_of("resolved_at") == ZoneInfo("America/Mexico_City")


def test_a_file_that_is_missing_is_asked_for(tmp_path):
    with pytest.raises(MappingError, match=r"mapping\.yaml: is missing; it must at least say `timezone:`"):
        settings_of(tmp_path / "mapping.yaml")


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "description: a shop", "timezone:", "timezone: # say it\ndescription: a shop"]
)
def test_a_time_zone_has_no_default(tmp_path, content):
    assert sentence(tmp_path, content).startswith(
        "does not say the time zone of naive timestamps; add e.g. `timezone: "
    )


@pytest.mark.parametrize("zone", ["America/Bogotá", "america/bogota ", "", "Amerca/Bogota", "/etc/passwd", "America"])
def test_an_unknown_zone_is_named_and_the_nearest_known_one_beside_it(tmp_path, zone):
    said = sentence(tmp_path, f"timezone: {zone!r}")
    assert said.startswith(f"timezone: {zone!r} is no time zone of the IANA list; did you mean '")


def test_an_unknown_zone_of_one_column_is_found_too(tmp_path):
    said = sentence(tmp_path, "timezone: UTC\ntimezones: {dob: Mars/Olympus}")
    assert said.startswith("timezones: 'Mars/Olympus' is no time zone")


def test_a_misspelt_key_is_named_even_if_it_leaves_another_missing(tmp_path):
    assert sentence(tmp_path, "timezon: UTC") == "unknown key 'timezon'; did you mean 'timezone'?"


def test_an_unknown_key_that_resembles_nothing_gets_the_list(tmp_path):
    said = sentence(tmp_path, "timezone: UTC\nqqq: 1")
    assert (
        said == "unknown key 'qqq'; known are timezone, timezones, places, policies, windows, moves_with, description"
    )


def test_an_unknown_key_of_a_part_is_compared_with_the_part(tmp_path):
    assert sentence(tmp_path, "timezone: UTC\nplaces: {mony: 2}") == "unknown key 'places.mony'; did you mean 'money'?"


@pytest.mark.parametrize("content", ["timezone: 'UTC", "timezone: UTC\n\tplaces: 1", "a: b: c"])
def test_broken_yaml_is_pointed_at_by_line(tmp_path, content):
    assert sentence(tmp_path, content).startswith("is no YAML at line ")


@pytest.mark.parametrize("content", ["- timezone", "UTC", "5"])
def test_yaml_without_keys_is_no_settings(tmp_path, content):
    assert sentence(tmp_path, content) == "holds no keys; write a line like `timezone: America/Bogota`"


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("timezone: 5", "timezone"),
        ("timezone: UTC\nplaces: 2", "places"),
        ("timezone: UTC\nplaces: {money: 7}", "places.money"),
        ("timezone: UTC\nplaces: {points: -1}", "places.points"),
        ("timezone: UTC\ntimezones: [dob]", "timezones"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_by_its_key(tmp_path, content, key):
    assert sentence(tmp_path, content).startswith(f"{key}: input should be ")


def test_a_file_that_is_no_utf8_is_no_settings(tmp_path):
    assert sentence(tmp_path, b"timezone: America/Bogot\xe1") == "is no UTF-8; save it as UTF-8"


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "mapping.yaml").write_bytes(b"\xef\xbb\xbftimezone: UTC")
    assert settings_of(tmp_path / "mapping.yaml").timezone == "UTC"
