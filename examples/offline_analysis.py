"""A dance as arrays: generate it, measure it, save it for other programs.

python examples/offline_analysis.py SONG OUT.{npz,bvh,vrma,vmd,mp4}
"""

import sys

import numpy as np

import dancerev


def main(song: str, out: str) -> None:
    dance = dancerev.generate(song, style="salsa", seed=7)
    positions = dance.positions  # (T, 22, 3) metres
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=-1) * dance.fps  # (T - 1, 22) metres a second
    path = np.linalg.norm(np.diff(dance.root[:, [0, 2]], axis=0), axis=-1).sum()
    print(f"{len(dance) / dance.fps:.1f} s, {len(dance.beats)} beats at {dance.bpm:.0f} BPM")
    print(f"mean joint speed {speed.mean():.2f} m/s, {path:.1f} m walked, {dance.contacts.mean():.0%} of steps planted")
    dance.save(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/offline_analysis.py SONG OUT.{npz,bvh,vrma,vmd,mp4}")
    main(*sys.argv[1:])
