"""Every byte we write is what python-osc writes; what is read back is what was written; garbage is survived."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from dancerev.clients import osc

texts = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12)
arguments = st.lists(
    st.one_of(st.integers(-(2**31), 2**31 - 1), st.floats(width=32, allow_nan=False, allow_infinity=False), texts),
    max_size=8,
)


def built_by_python_osc(address, values):
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value, {int: "i", float: "f", str: "s"}[type(value)])
    return builder.build()


@given(arguments)
def test_a_message_is_byte_for_byte_that_of_python_osc(values):
    packet = osc.encode("/a/bc", *values)
    assert packet == built_by_python_osc("/a/bc", values).dgram
    assert list(osc.decode(packet)) == [("/a/bc", values)]


@given(st.lists(arguments, min_size=1, max_size=60))
def test_a_template_filled_with_floats_holds_the_messages_in_order(rows):
    messages = [(f"/{i}", tuple(row)) for i, row in enumerate(rows)]
    floats = [value for row in rows for value in row if isinstance(value, float)]
    template = osc.Template([(a, tuple(0.5 if isinstance(v, float) else v for v in row)) for a, row in messages])
    assert template.size == len(floats)
    template.fill(np.array(floats, dtype=np.float32))
    received = [message for datagram in template.datagrams for message in osc.decode(bytes(datagram))]
    assert received == [(address, list(row)) for address, row in messages]
    for datagram in template.datagrams:
        assert len(datagram) <= osc.MAX_DATAGRAM
        assert OscBundle(bytes(datagram)).timestamp == 0  # python-osc's word for "immediately"


def test_a_bundle_is_byte_for_byte_that_of_python_osc():
    messages = [("/one", (1, 2.5, "three")), ("/none", ())]
    builder = OscBundleBuilder(IMMEDIATELY)
    for address, values in messages:
        builder.add_content(built_by_python_osc(address, values))
    template = osc.Template(messages)
    assert [bytes(d) for d in template.datagrams] == [builder.build().dgram]


def test_without_bundles_each_datagram_is_one_message():
    template = osc.Template([("/a", (0.0, 0.0)), ("/b", (0.0,))], bundles=False)
    template.fill(np.array([1.0, 2.0, 3.0]))
    assert [bytes(d) for d in template.datagrams] == [osc.encode("/a", 1.0, 2.0), osc.encode("/b", 3.0)]


@given(st.binary(max_size=80))
def test_any_bytes_are_survived(data):
    for packet in (data, b"#bundle\0" + data, b"/a\0\0," + data):
        for address, values in osc.decode(packet):
            assert isinstance(address, str)
            assert isinstance(values, list)


def test_a_truncated_bundle_gives_the_messages_that_are_whole():
    (datagram,) = osc.Template([("/a", (1,)), ("/b", ("text", 2))]).datagrams
    for length in range(len(datagram)):
        whole = list(osc.decode(bytes(datagram[:length])))
        assert whole in ([], [("/a", [1])])
    assert len(list(osc.decode(bytes(datagram)))) == 2


@pytest.mark.parametrize("wrong", [b"", b"/a", b"/\xff\0\0,\0\0\0"])
def test_a_message_that_is_not_one_is_left_out(wrong):
    assert list(osc.decode(wrong)) == []


def test_bundles_nested_without_end_are_left_out():
    packet = osc.encode("/deep")
    for _ in range(1000):
        packet = b"#bundle\0" + struct.pack(">Qi", 1, len(packet)) + packet
    assert list(osc.decode(packet)) == []


def message(address, tags, data=b""):
    def padded(text):
        return text + b"\0" * (4 - len(text) % 4)

    return padded(address) + (padded(tags) if tags is not None else b"") + data


@pytest.mark.parametrize(
    ("packet", "arguments"),
    [
        (message(b"/a", None), []),
        (message(b"/a", None, struct.pack(">i", 1)), [1]),
        (message(b"/a", None, struct.pack(">i", 0)), [0]),
        (message(b"/a", None, struct.pack(">f", 0.5)), [0.5]),
        (message(b"/a", None, b"bar\0"), [b"bar\0"]),
        (message(b"/a", b",TFNI"), [True, False, None, True]),
        (message(b"/a", b",ci", struct.pack(">ii", 65, 7)), [None, 7]),
        (message(b"/a", b",rmi", struct.pack(">iii", 1, 2, 7)), [None, None, 7]),
        (message(b"/a", b",ti", struct.pack(">qi", 1, 7)), [None, 7]),
        (message(b"/a", b",bi", struct.pack(">i", 3) + b"abc\0" + struct.pack(">i", 7)), [None, 7]),
        (message(b"/a", b",[if]", struct.pack(">if", 7, 0.5)), [7, 0.5]),
        (message(b"/a", b",iQi", struct.pack(">ii", 7, 8)), [7]),
        (message(b"/a", b",Ss", b"one\0two\0"), ["one", "two"]),
    ],
)
def test_arguments_of_every_type_are_read_or_stepped_over(packet, arguments):
    if arguments == [b"bar\0"]:  # four bytes are a number; what number they are does not matter
        ((address, (number,)),) = osc.decode(packet)
        assert isinstance(number, float)
    else:
        ((address, read),) = osc.decode(packet)
        assert read == arguments
    assert address == "/a"


@pytest.mark.parametrize("size", [-(2**31), -4, -1, 0, 2**31 - 1])
def test_a_bundle_with_a_wild_size_ends(size):
    assert list(osc.decode(b"#bundle\0" + struct.pack(">Qi", 1, size) + b"/a\0\0,\0\0\0")) == []


@pytest.mark.parametrize("size", [-(2**31), -4, 2**31 - 1])
def test_a_blob_with_a_wild_size_ends(size):
    assert list(osc.decode(message(b"/a", b",b", struct.pack(">i", size)))) == []


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("/dancerev/tap", ["tap"], ["one", "tape"]),
        ("/dancerev/*", ["tap", "style"], []),
        ("/dancerev/t?p", ["tap"], ["tp"]),
        ("/dancerev/[t-u]ap", ["tap"], ["cap"]),
        ("/dancerev/[!t]ap", ["cap"], ["tap"]),
        ("/dancerev/{half,double}", ["half", "double"], ["one"]),
        ("/dancerev/{half", [], ["half", "{"]),
        ("/dancerev/[z-a]", [], ["b"]),
        ("/*/tap", ["tap"], ["one"]),
        ("/*", [], ["tap"]),
        ("/dancerev/" + "*a" * 40, [], ["a" * 50]),
    ],
)
def test_address_patterns(pattern, matching, others):
    assert all(osc.matches(pattern, f"/dancerev/{name}") for name in matching)
    assert not any(osc.matches(pattern, f"/dancerev/{name}") for name in others)


@given(st.text(max_size=60))
def test_any_pattern_is_matched_at_once(pattern):
    osc.matches("/" + pattern, "/dancerev/energy_follow")


def test_a_long_pattern_matches_nothing():
    options = ",".join(f"name{k}" for k in range(20))
    assert not osc.matches(f"/dancerev/{{vigour,{options}}}", "/dancerev/vigour")
    assert osc.matches("/dancerev/{vigour,name}", "/dancerev/vigour")
    long_name = "/" + "a" * 200
    assert osc.matches(long_name, long_name), "an address without wildcards may be long"
