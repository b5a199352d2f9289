"""``dancerev-prepare``: from motion capture and music to the shards that a training reads."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dancerev.command_line import command
from dancerev.errors import CorpusError

from ..features import FEATURE_VERSION
from ..kinematic_beats import joint_speed
from ..pose import FRAME_RATE
from ..whole_file import write_text
from .dances import TEST_SHARE, Fit, ShardWriter, Statistics, make_dances, summary
from .options import parse
from .parallel import cluster
from .recorded_pairs import find_pairs, prepare_pairs
from .shards import MANIFEST, DanceSequence
from .song import Song
from .songs import Grooves, check_songs, find_songs, plan_clips, prepare_songs
from .take_styles import ordered_styles
from .takes import Take, find_motion, prepare_pulses, prepare_takes, save_real

PROVENANCE = {
    "cmu": {
        "source": "CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu",
        "licence": "free for research and commercial use; the data itself may not be resold",
        "acknowledgement": "The data used in this project was obtained from mocap.cs.cmu.edu. "
        "The database was created with funding from NSF EIA-0196217.",
    },
    "g1": {
        "source": "G1 Moves, Experiential Technologies (director Mitch Chaiet, dancer Jasmine Coro), rebuilt to BVH "
        "from the joint angles of a Unitree G1",
        "licence": "CC BY 4.0",
        "acknowledgement": "G1 Moves by Experiential Technologies, CC BY 4.0; "
        "director Mitch Chaiet, dancer Jasmine Coro.",
    },
    "groove": {
        "source": "Groove MIDI Dataset, Google LLC, magenta.tensorflow.org/datasets/groove, rendered",
        "licence": "CC BY 4.0",
        "acknowledgement": "Jon Gillick, Adam Roberts, Jesse Engel, Douglas Eck, and David Bamman. "
        "Learning to Groove with Inverse Sequence Transformations. ICML 2019.",
    },
    "aist": {
        "source": "AIST++ Dance Motion Dataset, google.github.io/aistplusplus_dataset; AIST Dance Video Database",
        "licence": "annotations CC BY 4.0; the music under the terms of the AIST Dance Video Database",
        "acknowledgement": "Ruilong Li, Shan Yang, David A. Ross, Angjoo Kanazawa. "
        "AI Choreographer: Music Conditioned 3D Dance Generation with AIST++. ICCV 2021.",
    },
}
"""What is known of public collections, by how the name of a file or folder of theirs begins."""


def provenance(origin: str) -> dict[str, str]:
    """Source, licence and acknowledgement of a file or folder of motion or music."""
    known = next((PROVENANCE[key] for key in PROVENANCE if origin.lower().startswith(key)), None)
    return known or {"source": origin, "licence": "unknown: ask before you ship what was trained on it"}


@command("dancerev-prepare")
def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv)
    if options.format or options.video:
        prepare_flat(options)
    else:
        with cluster(options.cluster):
            prepare(options)
    return 0


def prepare_flat(options: argparse.Namespace) -> None:
    """Prepare two-dimensional dances, and print what was mended.

    Raises:
        CorpusError: nothing can be used.
    """
    from . import dancerevolution, video
    from .pose_landmarks import HOW

    if options.video:
        if options.pose_models is None:
            raise CorpusError(f"--video: {HOW}")
        for line in video.prepare(options.video, options.out, options.pose_models, options.features, options.seed):
            print(line)
        return
    data, out = Path(options.motion[0]), options.out
    for line in dancerevolution.prepare(data, out, options.features, options.picture, options.seed):
        print(line)


@dataclass(frozen=True)
class Material:
    """All that the corpus is made of."""

    takes: list[Take]
    songs: list[Song]
    pair_takes: list[Take]
    pair_songs: list[Song]
    pair_sequences: list[tuple[str, DanceSequence]]
    styles: list[str]


def prepare(options: argparse.Namespace) -> None:
    """Return the whole way.

    Raises:
        OSError, ValueError: an input cannot be used; one line that says why.
    """
    out: Path = options.out
    for name in ("takes", "songs", "pulses", "shards"):
        (out / "work" / name).mkdir(parents=True, exist_ok=True)
    _write(_gather(options, out / "work"), options, out)


def _gather(options: argparse.Namespace, work: Path) -> Material:
    sources = [source for argument in options.motion for source in find_motion(argument)]
    pairs = find_pairs(*options.pairs)
    styles = ordered_styles({source.style for source in sources} | {pair.style for pair in pairs})
    takes: list[Take] = []
    songs: list[Song] = []
    if sources:
        pieces = [piece for folder in options.music for piece in find_songs(folder)]
        grooves = None
        if options.grooves is not None:
            grooves = Grooves(options.grooves, options.soundfont, options.clips, options.seed)
            pieces += plan_clips(grooves)
        if not any(piece.split == "train" for piece in pieces):
            raise CorpusError("no music to dance to: give --music or --grooves")
        check_songs(pieces, options.held_out_music)
        takes = prepare_takes(sources, work / "takes", options.held_out, options.workers)
        if not any(take.split == "train" and take.segments for take in takes):
            raise CorpusError("no usable take is left for training; see --held-out")
        songs = prepare_songs(pieces, grooves, work / "songs", options.held_out_music, options.workers)
        prepare_pulses(takes, work / "pulses", options.workers)
    pair_takes, pair_songs, sequences = prepare_pairs(pairs, styles, work, options.workers)
    return Material(takes, songs, pair_takes, pair_songs, sequences, styles)


def _write(material: Material, options: argparse.Namespace, out: Path) -> None:
    """Shards, real dance and manifest; the old ones stay until the new ones are all there."""
    fresh = out / "work" / "shards"
    for left in fresh.iterdir():
        left.unlink()
    statistics = Statistics()
    counts, hours, rows = {}, {}, []
    for split, share in (("train", 1.0), ("test", TEST_SHARE)):
        writer, fits = ShardWriter(fresh, split), list[Fit]()
        takes = [take for take in material.takes if take.split == split]
        songs = [song for song in material.songs if song.split == split]
        made = make_dances(
            takes, songs, material.styles, out / "work" / "pulses", share * options.hours, options.seed, options.workers
        )
        paired = [sequence for part, sequence in material.pair_sequences if part == split]
        for sequence in paired:
            writer.add(sequence)
        for sequences, fit in made:
            fits.append(fit)
            for sequence in sequences:
                writer.add(sequence)
                if split == "train":
                    statistics.add(sequence)
        if split == "train":
            for sequence in paired:
                statistics.add(sequence)
        writer.flush()
        counts[split], hours[split] = writer.count, round(writer.seconds / 3600.0, 3)
        rows += [{"split": split, **row} for row in summary(fits, material.styles)]
        real = [take for take in [*material.takes, *material.pair_takes] if take.split == split]
        save_real(real, material.styles, fresh / f"real_{split}.npz")
    if counts["train"] == 0:
        raise CorpusError("no sequence for training came of it: the tracker follows none of the music")
    manifest = _manifest(material) | {
        "statistics": statistics.result() | {"style_speed": style_speeds(material)},
        "sequences": counts,
        "hours": hours,
        "alignment": rows,
        "seed": options.seed,
    }
    for old in [*out.glob("train_*.npz"), *out.glob("test_*.npz"), out / "real_train.npz", out / "real_test.npz"]:
        old.unlink(missing_ok=True)
    for new in sorted(fresh.iterdir()):
        new.replace(out / new.name)
    write_text(out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    for row in rows:
        print(
            f"{row['split']:5} {row['style']:8} {row['tempo']:>7} BPM: {row['minutes']:6.1f} min"
            f"  BAS {row['bas']:.2f} (chance {row['chance']:.2f})  left out {row['left_out']:.0%}"
        )
    for split in counts:
        print(f"{split}: {counts[split]} sequences, {hours[split]} hours")


def style_speeds(material: Material) -> list[float]:
    """Mean joint speed of the training takes of each style as they were danced, m/s."""
    speeds = []
    for style in material.styles:
        takes = [take for take in [*material.takes, *material.pair_takes] if take.style == style]
        takes = [take for take in takes if take.split == "train"] or takes
        parts = [joint_speed(m.positions(), m.fps).mean(axis=1) for take in takes for m in take.segments]
        speeds.append(round(float(np.concatenate(parts).mean()), 4) if parts else 1.0)
    return speeds


def _manifest(material: Material) -> dict[str, Any]:
    takes = [*material.takes, *material.pair_takes]
    songs = [*material.songs, *material.pair_songs]
    origins = sorted({take.origin for take in takes} | {song.origin for song in songs})
    return {
        "feature_version": FEATURE_VERSION,
        "frame_rate": FRAME_RATE,
        "styles": material.styles,
        "takes": [
            {"name": t.name, "style": t.style, "split": t.split, "origin": t.origin, "cleaning": t.report}
            for t in takes
        ],
        "songs": [{"name": s.name, "split": s.split, "bpm": round(s.bpm, 2), "origin": s.origin} for s in songs],
        "provenance": {origin: provenance(origin) for origin in origins},
    }
