"""The beat tracker alone: prints the tempo and the position in the bar of a song, as it would be known live.

python examples/beat_tracker.py SONG
"""

import sys

import dancerev


def main(song: str) -> None:
    extractor = dancerev.FeatureExtractor()
    shown = 0
    for block in dancerev.decode(song):  # mono float32 at 24 kHz
        for frame in extractor.push(block):  # 15 frames a second
            if frame.time >= shown:
                beat = frame.beat
                print(
                    f"{frame.time:5.1f} s  {beat.bpm:6.1f} BPM, {beat.confidence:3.0%} sure, "
                    f"beat {beat.beat_in_bar + 1} of {beat.beats_per_bar}, next at {beat.next_beat:.2f} s"
                )
                shown += 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/beat_tracker.py SONG")
    main(sys.argv[1])
