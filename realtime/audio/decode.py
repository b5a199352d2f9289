"""Music files of any common format, decoded as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .clock import SAMPLE_RATE

if TYPE_CHECKING:
    import av

Samples = npt.NDArray[np.float32]


def decode(path: str | Path, sample_rate: int = SAMPLE_RATE) -> Iterator[Samples]:
    """The file's sound, mono, block by block; never more than a few blocks are in memory.

    Args:
        path: a file of any format that FFmpeg knows, sound alone or with pictures.
        sample_rate: Hz of the output.

    Returns:
        An iterator of (n,) float32 blocks of any size; full scale is ±1.

    Raises:
        InputError: at once, where the file is missing, empty, or holds no sound that can be decoded. What
            cannot be decoded further on is left out.
    """
    return (stereo.mean(axis=1) for stereo in decode_stereo(path, sample_rate))


def decode_stereo(path: str | Path, sample_rate: int) -> Iterator[Samples]:
    """As :func:`decode`, in blocks of (n, 2): left and right; one channel is doubled, more are mixed down."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a music file")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty")
        blocks = _resampled(_frames(path), sample_rate)
        first = next((block for block in blocks if len(block)), None)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if first is None:
        raise InputError(f"{path} holds no sound that can be decoded")
    return chain([first], blocks)


def duration(path: str | Path) -> float | None:
    """Seconds of sound as the file's header states them; None where it does not."""
    import av

    try:
        with _open(path) as container:
            return container.duration / av.time_base if container.duration else None
    except (av.FFmpegError, OSError):
        return None


def _open(path: str | Path) -> av.container.InputContainer:
    """Open a media file for reading, whatever the encoding of its tags.

    PyAV 14 to 18 raise on tags that are not UTF-8 unless told otherwise; PyAV 19 ignores such tags and has no option.
    """
    import av

    newest = int(av.__version__.partition(".")[0]) >= 19
    options: dict[str, Any] = {} if newest else {"metadata_errors": "ignore"}
    return av.open(str(path), **options)


def _frames(path: Path) -> Iterator[av.AudioFrame]:
    """The frames that can be decoded."""
    import av

    try:
        container = _open(path)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{path} is not a music file that can be decoded") from error
    with container:
        if not container.streams.audio:
            raise InputError(f"{path} holds no sound")
        stream = container.streams.audio[0]
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.EOFError:
                return
            except av.FFmpegError:  # the container itself is broken from here on
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _converted(converter: av.AudioResampler, frame: av.AudioFrame) -> list[av.AudioFrame]:
    """The frame in the converter's form; nothing where FFmpeg knows no way there, as from nine channels."""
    import av

    try:
        return converter.resample(frame)
    except av.FFmpegError:
        return []


def _resampled(frames: Iterator[av.AudioFrame], sample_rate: int) -> Iterator[Samples]:
    """(n, 2) float32 blocks at ``sample_rate``; the frames may change their form on the way."""
    import av
    import soxr

    for (_, layout, rate), run in groupby(frames, key=_form):
        channels = 1 if av.AudioLayout(layout).nb_channels == 1 else 2
        converter = av.AudioResampler(format="flt", layout="mono" if channels == 1 else "stereo")
        resampler = soxr.ResampleStream(rate, sample_rate, 2)
        for frame in run:
            for converted in _converted(converter, frame):
                samples = np.broadcast_to(converted.to_ndarray().reshape(-1, channels), (converted.samples, 2))
                yield resampler.resample_chunk(np.nan_to_num(samples, posinf=1.0, neginf=-1.0))
        yield resampler.resample_chunk(np.empty((0, 2), dtype=np.float32), last=True)
