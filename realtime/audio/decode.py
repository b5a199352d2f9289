"""Music files of any common format, decoded as a stream of mono or stereo blocks.

Time stamps are respected: time 0 is where the file begins, so that sound of a film that begins later is preceded by
silence, and a hole that damage has left is silent. Whatever is made from the blocks is in step with the pictures.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .clock import SAMPLE_RATE

if TYPE_CHECKING:
    import av

Samples = npt.NDArray[np.float32]
Report = Callable[[str], None]

_FORMATS = (
    "aac,ac3,adx,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,"
    "mpc,mpc8,mpeg,mpegts,mxf,nut,oga,ogg,oma,ogv,opus,qcp,rm,shn,sln,sox,spdif,swf,tak,truehd,tta,voc,vqf,w64,wav,wtv,"
    "wv,xwma"
)
"""FFmpeg's demuxers that read one local file. Playlists, which would open what they name, are not among them."""

_RATES = range(1_000, 768_001)
"""Sample rates in Hz that a file may have."""

_LOUDEST = 4.0  # full scale is 1; floating-point files may go beyond, damaged ones to 1e38
_JITTER = 0.02  # seconds by which time stamps may be off, as containers round them
_LONGEST_HOLE = 600.0  # seconds; where time stamps jump further, they are damaged themselves
_OVERLAP = 1.0  # seconds; where time stamps go back further, another piece begins, as in chained files


def decode(path: str | Path, sample_rate: int = SAMPLE_RATE, report: Report | None = None) -> Iterator[Samples]:
    """Decode a file's sound to mono, block by block; never more than a few blocks are in memory.

    Args:
        path: a local file of any format that FFmpeg knows, sound alone or with pictures, or a pipe, read once.
        sample_rate: Hz of the output.
        report: called at most once, with a line that says that the file is damaged.

    Returns:
        An iterator of (n,) float32 blocks of any size; full scale is ±1.

    Raises:
        InputError: at once, where the file is missing, empty, not permitted, or holds no sound that can be decoded.
            What cannot be decoded further on is left out, and silence keeps its place where time stamps tell.
    """
    return (stereo.mean(axis=1) for stereo in decode_stereo(path, sample_rate, report))


def decode_stereo(path: str | Path, sample_rate: int, report: Report | None = None) -> Iterator[Samples]:
    """Decode as :func:`decode`, in blocks of (n, 2): left and right; one channel is doubled, more are mixed down."""
    path = Path(path)
    _check(path)
    try:
        blocks = _resampled(_Decoder(path, report), sample_rate)
        first = next((block for block in blocks if len(block)), None)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if first is None:
        raise InputError(f"{path} holds no sound that can be decoded")
    return chain([first], blocks)


def duration(path: str | Path) -> float | None:
    """Return the seconds of sound that the file's header states; None where it does not, and for pipes."""
    import av

    if not Path(path).is_file():
        return None
    try:
        with _open(path) as container:
            return container.duration / av.time_base if container.duration else None
    except (av.FFmpegError, OSError, ValueError):
        return None


def _check(path: Path) -> None:
    """Raise ``InputError`` with the reason where ``path`` is no file that this user can read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path} is a folder, not a music file")
        if stat.S_ISREG(status.st_mode):
            if status.st_size == 0:
                raise InputError(f"{path} is empty")
            with path.open("rb"):
                pass
        elif not os.access(path, os.R_OK):
            raise InputError(f"{path} cannot be read: permission denied")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _open(path: str | Path) -> av.container.InputContainer:
    """Open a media file for reading, whatever its name, and whatever the encoding of its tags.

    Without the protocol, FFmpeg would take what stands before a colon for one. PyAV 14 to 18 raise on tags that are
    not UTF-8 unless told otherwise; PyAV 19 ignores such tags and has no option.
    """
    import av

    newest = int(av.__version__.partition(".")[0]) >= 19
    options: dict[str, Any] = {} if newest else {"metadata_errors": "ignore"}
    limits = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    return av.open(f"file:{path}", options=limits, **options)


class _Decoder:
    """The frames of a file's first sound that can be decoded, and where in time they belong."""

    def __init__(self, path: Path, report: Report | None) -> None:
        self._path = path
        self._report = report

    def frames(self) -> Iterator[tuple[av.AudioFrame, float | None]]:
        """Yield each frame with the seconds from the file's beginning at which it starts, where the file says so.

        Raises:
            InputError: the file is none of music.
        """
        import av

        try:
            container = _open(self._path)
        except (av.FFmpegError, ValueError) as error:
            raise InputError(f"{self._path} is not a music file that can be decoded") from error
        with container:
            if not container.streams.audio:
                raise InputError(f"{self._path} holds no sound")
            stream = container.streams.audio[0]
            if stream.rate not in _RATES:
                raise InputError(f"{self._path} has {stream.rate} samples a second, which no music has")
            begin = (container.start_time or 0) / av.time_base
            for packet in self._packets(container, stream):
                try:
                    for frame in stream.decode(packet):
                        yield frame, None if frame.time is None else frame.time - begin
                except av.FFmpegError:
                    self.note_damage()

    def _packets(
        self, container: av.container.InputContainer, stream: av.AudioStream
    ) -> Iterator[av.Packet[av.AudioStream]]:
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.EOFError):
                return
            except av.FFmpegError:  # the container itself is broken from here on
                self.note_damage()
                return
            yield packet

    def note_damage(self) -> None:
        """Report once that the file is damaged."""
        if self._report:
            self._report(f"{self._path} is damaged; what can be decoded is used")
        self._report = None


class _Converter:
    """Frames of one form to (n, 2) float32 at another rate."""

    def __init__(self, frame: av.AudioFrame, sample_rate: int) -> None:
        import av
        import soxr

        self.form = _form(frame)
        self._channels = 1 if av.AudioLayout(frame.layout.name).nb_channels == 1 else 2
        self._mixer = av.AudioResampler(format="flt", layout="mono" if self._channels == 1 else "stereo")
        self._resampler = soxr.ResampleStream(frame.sample_rate, sample_rate, 2)

    def convert(self, frame: av.AudioFrame) -> Iterator[Samples]:
        """Yield what comes out; nothing where FFmpeg cannot mix the channels down, as from nine."""
        import av

        try:
            mixed = self._mixer.resample(frame)
        except av.FFmpegError:
            return
        for part in mixed:
            samples = np.broadcast_to(part.to_ndarray().reshape(-1, self._channels), (part.samples, 2))
            finite = np.nan_to_num(samples, posinf=1.0, neginf=-1.0)
            yield self._resampler.resample_chunk(np.clip(finite, -_LOUDEST, _LOUDEST))

    def silence(self, seconds: float) -> Iterator[Samples]:
        """Yield what comes out for a hole of so many seconds."""
        left = round(seconds * self.form[2])
        while left > 0:
            block = min(left, self.form[2])
            left -= block
            yield self._resampler.resample_chunk(np.zeros((block, 2), dtype=np.float32))

    def finish(self) -> Samples:
        """Return what the resampler still holds."""
        return np.asarray(self._resampler.resample_chunk(np.empty((0, 2), dtype=np.float32), last=True))


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _resampled(decoder: _Decoder, sample_rate: int) -> Iterator[Samples]:
    """(n, 2) float32 blocks at ``sample_rate``; the frames may change their form on the way, and holes are silent."""
    converter: _Converter | None = None
    reached, shift = 0.0, 0.0  # seconds: of sound handed on, and what the time stamps are ahead of it after a jump
    for frame, time in decoder.frames():
        if frame.sample_rate not in _RATES:
            continue
        if converter is None or converter.form != _form(frame):
            if converter is not None:
                yield converter.finish()
            converter = _Converter(frame, sample_rate)
        hole = 0.0 if time is None else time - shift - reached
        if _JITTER < hole < _LONGEST_HOLE:
            if reached > 0.0:
                decoder.note_damage()
            yield from converter.silence(hole)
            reached += hole
        elif not -_OVERLAP < hole < _LONGEST_HOLE:
            shift += hole
        yield from converter.convert(frame)
        reached += frame.samples / frame.sample_rate
    if converter is not None:
        yield converter.finish()
