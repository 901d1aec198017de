"""Whether the machine is plugged in, from what Linux says of its supplies."""

import pytest

from proper_client.guard_machine import plugged_in


def supplies(folder, **found):
    """Write a folder as /sys/class/power_supply has it."""
    folder.mkdir()
    for name, files in found.items():
        (folder / name).mkdir()
        for file, text in files.items():
            (folder / name / file).write_text(text + "\n")
    return folder


MAINS_ON = {"type": "Mains", "online": "1"}
MAINS_OFF = {"type": "Mains", "online": "0"}
CHARGING = {"type": "Battery", "status": "Charging"}
DRAINING = {"type": "Battery", "status": "Discharging"}
MOUSE = {"type": "Battery", "scope": "Device", "status": "Discharging"}
PORT_OFF = {"type": "USB", "online": "0"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, True),  # a machine without a battery
        ({"AC": MAINS_ON}, True),
        ({"AC": MAINS_ON, "BAT0": DRAINING}, True),
        ({"AC": MAINS_OFF, "BAT0": DRAINING}, False),
        ({"AC": MAINS_OFF, "usb": {"type": "USB", "online": "1"}}, True),
        ({"BAT0": CHARGING, "usb": PORT_OFF}, True),
        ({"BAT0": CHARGING, "BAT1": DRAINING}, False),
        ({"BAT0": {"type": "Battery", "status": "Unknown"}}, False),
        ({"BAT0": {"type": "Battery"}}, False),
        ({"hid": MOUSE}, True),
        ({"hid": MOUSE, "AC": MAINS_OFF, "BAT0": DRAINING}, False),
    ],
)
def test_mains_and_batteries_decide_and_a_mouse_does_not(tmp_path, found, expected):
    folder = supplies(tmp_path / "power_supply", **found)
    assert plugged_in(folder, "linux") is expected


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_it_is_not_known(tmp_path, platform):
    folder = supplies(tmp_path / "power_supply", AC=MAINS_ON)
    assert plugged_in(folder, platform) is None


def test_where_linux_says_nothing_it_is_not_known(tmp_path):
    assert plugged_in(tmp_path / "none", "linux") is None
