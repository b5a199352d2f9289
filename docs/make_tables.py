"""Write the tables of ``docs/controls.md`` and ``docs/osc.md`` from the code: ``python docs/make_tables.py``.

A test holds the documents to what this makes.
"""

import re
import socket
from pathlib import Path

from dancerev.clients import osc
from dancerev.clients.flat_osc import FlatSender
from dancerev.model.features import BeatState
from dancerev.model.pose import rest_pose
from dancerev.model.skeleton import BONES
from dancerev.realtime.performance.table import CONTROLS, Control

FOLDER = Path(__file__).parent

MEANINGS = {
    "/dancerev/N/BONE/pos": "position of the joint, metres: x, y, z",
    "/dancerev/N/BONE/rot": "rotation of the bone in the world, quaternion: x, y, z, w",
    "/dancerev/phase": "position in the beat, 0 to 1; 0 is on the beat",
    "/dancerev/bpm": "beats per minute",
    "/dancerev/confidence": "how sure the beat is, 0 to 1",
    "/dancerev/bar_confidence": "how sure the bar is, 0 to 1",
    "/dancerev/bar_length": "beats per bar: 2, 3, 4 or 6",
    "/dancerev/onset": "strength of an onset now, 0 to 1",
    "/dancerev/energy": "loudness, 0 to 1",
    "/dancerev/beat": "sent on each beat: its number in the bar, 1 for the downbeat",
}
"""What each address of flat OSC means; ``N`` is the dancer, ``BONE`` a bone."""


def argument(control: Control) -> str:
    """What a control takes, in words."""
    match control.kind:
        case "trigger":
            return "none"
        case "switch":
            return "on or off"
        case "choice":
            return ", ".join(control.choices)
        case "text":
            return "text"
    unit = f" {control.unit}" if control.unit else ""
    return f"{control.low:g} to {control.high:g}{unit}"


def control_table() -> str:
    """Return the table of controls."""
    lines = ["| OSC address | argument | at the start | key | does |", "|---|---|---|---|---|"]
    for name, control in CONTROLS.items():
        keys = " ".join(f"`{'space' if key == ' ' else key}`" for key, _ in control.key)
        start = "" if control.default in (None, "") else str(control.default).replace("False", "off")
        waits = "; can wait for a beat or bar" if control.quantisable else ""
        lines.append(f"| `/dancerev/{name}` | {argument(control)} | {start} | {keys} | {control.help}{waits} |")
    return "\n".join(lines)


def sent_by_flat_osc() -> dict[str, str]:
    """Return the addresses that a show sends with ``--protocol flat``, and their type tags."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(0.2)
    found: dict[str, str] = {}
    with FlatSender("127.0.0.1", receiver.getsockname()[1]) as sender:
        for time, phase in ((0.0, 0.9), (0.1, 0.1)):
            sender.send(rest_pose(time))
            sender.send_music(BeatState(time, phase, 0.5, 0.9), 0.5, 0.5)
        while True:
            try:
                data = receiver.recv(65536)
            except TimeoutError:
                receiver.close()
                return found
            for address, arguments in osc.decode(data):
                general = re.sub(rf"/1/({'|'.join(BONES)})/", "/N/BONE/", address)
                found[general] = "".join("i" if isinstance(value, int) else "f" for value in arguments)


def flat_table() -> str:
    """Return the table of flat OSC."""
    lines = ["| address | arguments | meaning |", "|---|---|---|"]
    found = sent_by_flat_osc()
    lines += [f"| `{address}` | `{tags}` | {MEANINGS[address]} |" for address, tags in sorted(found.items())]
    return "\n".join(lines)


def with_table(text: str, table: str) -> str:
    """Return a document with the table between its marks exchanged."""
    start, end = "<!-- table -->\n", "<!-- end of table -->\n"
    before, rest = text.split(start)
    return f"{before}{start}{table}\n{end}{rest.split(end)[1]}"


DOCUMENTS = {"controls.md": control_table, "osc.md": flat_table}

if __name__ == "__main__":
    for name, table in DOCUMENTS.items():
        path = FOLDER / name
        path.write_text(with_table(path.read_text(encoding="utf-8"), table()), encoding="utf-8")
