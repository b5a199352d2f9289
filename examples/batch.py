"""Every song of a folder, in every style of the bundled model; a song that cannot be read is skipped with a note.

python examples/batch.py FOLDER OUT
"""

import sys
from pathlib import Path

import dancerev


def main(folder: str, out: str) -> None:
    Path(out).mkdir(parents=True, exist_ok=True)
    styles = dancerev.DanceModel().styles
    for song in sorted(path for path in Path(folder).iterdir() if path.is_file()):
        for style in styles[:2]:
            try:
                dance = dancerev.generate(song, style=style)
            except dancerev.InputError as error:
                print(f"skipped: {error}")
                break
            dance.save(Path(out) / f"{song.stem}__{style}.npz")
            print(f"{song.name}: {style}, {dance.bpm:.0f} BPM")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/batch.py FOLDER OUT")
    main(*sys.argv[1:])
