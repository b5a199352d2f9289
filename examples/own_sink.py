"""A sink of your own: it gets every pose of a live show and must return quickly.

python examples/own_sink.py SONG [SECONDS]
"""

import sys

import dancerev


class PrintingSink(dancerev.PoseSink):
    """Prints where the dancer's hips are, once a second."""

    def __init__(self) -> None:
        self.poses = 0

    def send(self, pose: dancerev.Pose) -> None:
        if self.poses % 30 == 0:
            x, y, z = pose.root
            print(f"{pose.time:6.2f} s  hips at {x:+.2f} {y:+.2f} {z:+.2f} m")
        self.poses += 1


def main(song: str, seconds: float | None = None) -> None:
    stream = dancerev.DanceStream(dancerev.Dancer(style="salsa"))
    with dancerev.open_source(song, mute=True, duration=seconds) as source, PrintingSink() as sink:
        dancerev.Show(source, stream, sink).run()
    print(f"{sink.poses} poses")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python examples/own_sink.py SONG [SECONDS]")
    main(sys.argv[1], *map(float, sys.argv[2:]))
