"""Command line, ``python -m dfutils``: detect, study, ship, rate, publish, numbers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dfutils.errors import InputError

A_WEEK = 7 * 24 * 3600.0  # [s]
GUARDED = True  # files are judged in a child process


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 1 (some inputs could not be judged) or 2 (nothing could be done)."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return options.run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dfutils", description="Audio-visual deepfake detection.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    detect = commands.add_parser("detect", help="judge videos, pictures and sound files")
    detect.add_argument(
        "paths", nargs="+", metavar="PATH", help="a file, a folder (searched with all in it) or a pattern"
    )
    detect.add_argument(
        "--json", metavar="FILE", help="write all findings there; a second run goes on with those it finds"
    )
    detect.add_argument("--csv", metavar="FILE", help="write a table, one row per file")
    detect.add_argument("--html", metavar="FILE", help="write one page to read, print and send")
    detect.add_argument("--annotate", metavar="FOLDER", help="write copies there that show boxes and scores")
    detect.add_argument("--fresh", action="store_true", help="judge again what the JSON file has already")
    detect.add_argument("--frames", type=int, default=20, metavar="N", help="frames per video (20)")
    detect.add_argument("--fragments", type=int, default=5, metavar="N", help="fragments of sound (5)")
    detect.add_argument("--fragment-seconds", type=float, metavar="S", help="their length (as in training)")
    detect.add_argument("--picture-model", metavar="FOLDER", help="another picture model")
    detect.add_argument("--voice-model", metavar="FOLDER", help="another voice model")
    detect.set_defaults(run=_detect)
    study = commands.add_parser("study", help="run the notebooks in order")
    study.add_argument(
        "--profile", metavar="NAME|FILE", help="parameters (embedded, or real with DFUTILS_DATA)"
    )
    study.add_argument("--only", nargs="+", metavar="NAME", help="notebooks whose names begin so")
    study.add_argument("--force", action="store_true", help="run again what is done")
    study.set_defaults(run=_study)
    ship = commands.add_parser("ship", help="put the model trained last into models/")
    ship.add_argument("kind", choices=("picture", "voice"))
    ship.add_argument("run_id", metavar="RUN", help="id of the recorded run that trained it")
    ship.add_argument("--evaluation", metavar="RUN", help="id of the recorded run that evaluated it")
    ship.set_defaults(run=_ship)
    rate = commands.add_parser(
        "rate", help="put a recorded run's error rates beside a shipped model's verdicts"
    )
    rate.add_argument("kind", choices=("picture", "voice"))
    rate.add_argument("run_id", metavar="RUN", help="id of the recorded run that evaluated it")
    rate.add_argument("--model", metavar="FOLDER", help="another model than the one that ships")
    rate.set_defaults(run=_rate)
    publish = commands.add_parser("publish", help="copy recorded runs into reports/, no faces")
    publish.add_argument("run_ids", nargs="+", metavar="RUN", help="id of a recorded run")
    publish.add_argument("--notebooks", nargs="+", default=[], metavar="NAME", help="beginnings of names")
    publish.add_argument("--figures", nargs="+", default=[], metavar="NAME", help="for example 05-history")
    publish.add_argument("--cards", nargs="+", default=[], metavar="NAME", help="such as robustness-voice")
    publish.set_defaults(run=_publish)
    numbers = commands.add_parser(
        "numbers", help="write the README's and the cards' tables from recorded runs"
    )
    numbers.set_defaults(run=_numbers)
    return parser


def _detect(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from dfutils.annotate_many import plan_copies, try_annotate
    from dfutils.detector import DeepfakeDetector
    from dfutils.guard import Limits
    from dfutils.judge_files import FileJudge
    from dfutils.media_files import find_media
    from dfutils.names import spell_out
    from dfutils.report import describe_findings

    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    detector = DeepfakeDetector(options.picture_model, options.voice_model)
    files = find_media(options.paths)
    how = (options.frames, options.fragments, options.fragment_seconds)
    outputs = (options.json, options.csv, options.html)
    copies = plan_copies(files, options.annotate) if options.annotate else {}
    n_failed = 0
    limits = Limits() if len(files) > 1 else replace(Limits(), seconds=A_WEEK)  # nothing waits for it
    limits = limits if GUARDED else None
    with FileJudge(detector, files, *how, *outputs, options.fresh, limits) as judge:
        for path in tqdm(files, unit="file", disable=len(files) < 2 or None):
            finding = judge.judge(path)
            tqdm.write(describe_findings(finding), file=sys.stderr if finding.get("error") else sys.stdout)
            if copies and (reason := try_annotate(finding, copies[path], True, judge.guard)):
                n_failed += 1
                tqdm.write(f"  no annotated copy: {spell_out(reason)}", file=sys.stderr)
    if judge.n_known:
        print(f"{judge.n_known} of {len(files)} were judged before (--fresh judges anew)", file=sys.stderr)
    return 1 if n_failed or any(finding.get("error") for finding in judge.findings) else 0


def _study(options: argparse.Namespace) -> int:
    from dfutils import study
    from dfutils.paths import corpus_name, reports_dir, work_dir

    name = options.profile or corpus_name()
    path = Path(name) if name.endswith((".yaml", ".yml")) else study.PROFILES / f"{name}.yaml"
    executed = study.run_study(study.read_profile(path), options.only, options.force)
    print(
        f"\nexecuted notebooks  {executed}\n"
        f"figures             {reports_dir() / 'figures'}\n"
        f"results table       {reports_dir() / 'results.csv'}\n"
    )
    if options.only:
        return 0
    real, fake = study.example_clips()
    print(f"The detector on a real and on a fake clip ({real.name}, {fake.name}):", flush=True)
    trained = work_dir() / "models"  # these, not the ones that ship
    options = ["--picture-model", str(trained / "picture"), "--voice-model", str(trained / "voice")]
    return main(["detect", str(real), str(fake), *options])


def _ship(options: argparse.Namespace) -> int:
    from dfutils.shipping import ship

    print(ship(options.kind, options.run_id, options.evaluation))
    return 0


def _rate(options: argparse.Namespace) -> int:
    from dfutils.rating import rate

    print(rate(options.kind, options.run_id, options.model))
    return 0


def _publish(options: argparse.Namespace) -> int:
    from dfutils.publishing import publish

    print(*publish(options.run_ids, options.notebooks, options.figures, cards=options.cards), sep="\n")
    return 0


def _numbers(options: argparse.Namespace) -> int:
    from dfutils.number_tables import default_files, write_tables

    print(*write_tables(default_files()) or ["all tables are up to date"], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
