"""The HTML report: self-contained, escaped, honest numbers, a timeline that shows gaps."""

import base64
import doctest
import re
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

import dfutils.html_pieces
import dfutils.html_timeline
from dfutils import InputError
from dfutils.html_pieces import encode_image, overlay_heat_map, show_name, show_percent, show_time
from dfutils.html_report import Case, Moment, frame_report, render_report, write_report
from dfutils.html_timeline import draw_panel, find_gaps, find_ticks
from dfutils.paths import ASSETS
from dfutils.report import Judgement, Report

WHEN = datetime(2026, 11, 5, 9, 30, tzinfo=UTC)
VOID = {"meta", "img", "br", "link", "input", "hr"}
SVG_LEAVES = {"line", "rect", "circle", "path"}


class Page(HTMLParser):
    """Collects tags, attributes and text; fails where tags do not nest."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def words(self):
        return " ".join(" ".join(self.text).split())

    def named(self, tag, **wanted):
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in wanted.items())]


def picture(scores=None, threshold=0.45, **changes):
    scores = scores or [(k / 2, 0.2 + 0.1 * (k % 3)) for k in range(8)]
    judged = Judgement.from_scores([{"time_s": t, "p_fake": p} for t, p in scores], threshold)
    part = Report("x", judged, Judgement(abstained="has no sound")).to_dict()["picture"]
    return part | changes


def case(path="clip.mp4", picture_part=None, voice_part=None, **options):
    findings = {"path": path, "picture": picture_part or picture()}
    findings["voice"] = voice_part or {"abstained": "has no sound"}
    findings |= options.pop("findings", {})
    return Case(findings, **options)


def page_of(*cases):
    return Page(render_report(cases, WHEN))


def face(seed=0, size_hw=(60, 50)):
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3)).astype(np.uint8)


def full_case(path="clip.mp4"):
    moments = [Moment(face(), 0.93, 1.5, 1, np.eye(7)), Moment(face(1), 0.97)]
    persons = [
        {"person": 1, "p_fake": 0.81, "verdict": "manipulated", "frames_used": 8, "from_s": 0.5, "to_s": 4},
        {"person": 2, "abstained": "seen in one frame only"},
    ]
    return case(
        path,
        picture([(k / 2, 0.8) for k in range(8)], persons=persons),
        sha256="ab" * 32,
        duration_s=4.5,
        moments=moments,
        portraits={1: face(2)},
        parameters={"n_frames": 20},
        findings={"models": {"picture": {"sha256": "840bf10d06fb5bac", "trained_on": "real"}}},
    )


# ------------------------------------------------------------------ one file, offline, safe


def test_nothing_is_loaded_from_elsewhere():
    text = render_report([full_case(), full_case("b.mp4")], WHEN)
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "action", "data", "srcset"):
            assert re.match(r"data:image/jpeg;base64,|#", attributes.get(name, "#")), (tag, attributes)
    assert "//" not in re.sub(r"base64,[^\"]+", "", text)
    assert "@import" not in text
    assert re.findall(r"url\((?!#hatch)", text) == []
    (policy,) = page.named("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


NASTY = [
    "<script>alert(1)</script>.mp4",
    '"><img src=x onerror=alert(1)>.mp4',
    "' onload='x.mp4",
    "</title></style><b>.mp4",
    "a&lt;b&amp;.mp4",
    "{{7*7}}%s{0}.mp4",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text_wherever_they_stand(name):
    model = {"sha256": name, name: name}
    everything = case(
        name,
        {"abstained": name},
        {"abstained": name},
        sha256=name,
        parameters={name: name},
        findings={"models": {name: model}, "warning": name},
    )
    unread = case(name, findings={"error": name})
    harmless = page_of(
        case("n", {"abstained": "n"}, {"abstained": "n"}, sha256="n", parameters={"n": "n"},
             findings={"models": {"n": {"sha256": "n", "n2": "n"}}, "warning": "n"}),
        case("n", findings={"error": "n"}),
    )  # fmt: skip
    page = page_of(everything, unread)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert page.words().count(name.split("/")[-1]) >= 8
    Page(render_report([everything], WHEN))


def test_hidden_characters_are_spelled_out():
    assert show_name("a\u202e4pm.exe\n\x00é日.mp4") == r"a\u202e4pm.exe\n\x00é日.mp4"
    assert show_name("zero\u200bwidth") == r"zero\u200bwidth"
    bad_bytes = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    assert show_name(bad_bytes) == r"caf\udce9.mp4"
    assert show_name("\U0001f600 <") == "\U0001f600 &lt;"


def test_the_file_is_written_whole(tmp_path):
    path = write_report(tmp_path / "new" / "report.html", [case("caf\udce9 \u202e.mp4")], WHEN)
    assert path.read_text("utf-8") == render_report([case("caf\udce9 \u202e.mp4")], WHEN)
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_in_a_notebook_the_page_stands_in_a_frame_without_scripts():
    names = case('"><script>x</script>.mp4')
    frame = Page(frame_report([names]))
    ((_, _), (tag, attributes)) = frame.tags
    assert tag == "iframe"
    assert attributes["sandbox"] is None
    assert "<script" not in frame_report([names])
    Page(attributes["srcdoc"])
    assert attributes["srcdoc"].startswith("<!DOCTYPE html>")


def test_no_findings():
    with pytest.raises(InputError, match="no findings"):
        render_report([])


# ------------------------------------------------------------------ what it says


def test_what_the_detector_gives_can_be_shown():
    """`Report.to_dict`, as it is."""
    judged = Judgement.from_scores([{"frame_index": 10 * k, "p_fake": 0.9} for k in range(6)], 0.45)
    models = {"picture": {"sha256": "840bf10d06fb5bac", "trained_on": "embedded"}}
    report = Report("a/clip.mp4", judged, Judgement(abstained="has no sound"), models)
    words = page_of(Case(report.to_dict(), fps=25.0)).words()
    assert "▲ looks manipulated" in words
    assert "probability of manipulation: 90%; from 45% on" in words
    assert "6 faces judged." in words
    assert "? cannot tell Reason: has no sound." in words
    assert report.warning in words
    assert "840bf10d06fb5bac, trained on embedded" in words


def test_everything_is_there():
    words = page_of(full_case()).words()
    for expected in (
        "Findings on clip.mp4", "2026-11-05, 09:30 UTC", "ab" * 32, "N frames 20", "4.5 s", "sha256 840bf10d",
        "81%", "0.5 s to 4.0 s", "seen in one frame only", "97%", "93% · 1.5 s, person 1",
        "Most suspicious faces", "not proof", "Do not accuse",
    ):  # fmt: skip
        assert expected in words, expected
    assert len(page_of(full_case()).named("img")) == 4  # a portrait, two faces, one heat map


def test_several_files_have_an_index():
    page = page_of(case("a/one.mp4"), case("b/two.mp4", findings={"error": "is empty (0 bytes)"}))
    assert [a["href"] for a in page.named("a") if a["href"] != "#limits"] == ["#file-1", "#file-2"]
    assert [a["id"] for a in page.named("section")] == ["file-1", "file-2"]
    assert "two.mp4 ! not judged" in page.words()
    assert "Not judged. Reason: is empty (0 bytes)" in page.words()


def test_ids_stand_once():
    page = page_of(full_case(), full_case("b"), case("c"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) >= 6


def test_no_number_pretends_to_be_exact():
    scores = [(k, p) for k, p in enumerate((0.123456, 0.98765, 0.99999, 0.00001, 0.447437))]
    text = unescape(render_report([case(picture_part=picture(scores, 0.447437))], WHEN))
    body = text[text.index("<body>") :]
    body = re.sub(r'(?:x\d?|cx|y\d?|width)="[^"]*"', "", body)
    assert set(re.findall(r"[\d.]+%", body)) <= {"12%", "99%", "1%", "45%", "51%", "100%", "0%"}
    assert "over 99%" in body
    assert "under 1%" in body


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "under 1%"), (0.0099, "under 1%"), (0.01, "1%"), (0.5, "50%"), (0.99, "99%"), (1, "over 99%")],
)
def test_percent(value, shown):
    assert show_percent(value) == shown


def test_a_close_call_is_said():
    for p_fake, close in ((0.47, True), (0.43, True), (0.2, False), (0.9, False)):
        scores = [(k, p_fake) for k in range(3)]
        assert ("This is close" in page_of(case(picture_part=picture(scores))).words()) == close


def test_one_and_many():
    one = {"p_fake": 0.1, "verdict": "pristine", "threshold": 0.5, "fragments_used": 1, "scores": []}
    words = page_of(case(picture_part=picture([(0, 0.2)]), voice_part=one)).words()
    assert "1 face judged." in words
    assert "1 fragment of sound judged." in words
    assert "5 fragments of sound judged." in page_of(case(voice_part=one | {"fragments_used": 5})).words()


def test_moments_are_ordered_and_limited():
    moments = [Moment(face(k, (8, 8)), k / 20, float(k)) for k in range(20)]
    page = page_of(case(moments=moments, duration_s=30))
    assert len(page.named("figure")) == 12
    assert re.findall(r"\d+% · \d+ s", page.words())[:2] == ["95% · 19 s", "90% · 18 s"]
    assert "none reaches the threshold" not in page.words()
    assert "none reaches the threshold" in page_of(case(moments=moments[:5])).words()


# ------------------------------------------------------------------ timeline


def panels(*cases):
    page = page_of(*cases)
    return page, [a["aria-label"] for a in page.named("svg") if "aria-label" in a]


def test_marks_differ_by_shape():
    page, labels = panels(case(picture_part=picture([(0, 0.9), (1, 0.1), (2, 0.5), (3, 0.45)]), duration_s=4))
    assert len(page.named("rect", **{"class": "high"})) == 3 + 1  # the legend has one too
    assert len(page.named("circle", **{"class": "low"})) == 1 + 1
    assert labels == [
        "Picture: 4 scores over 4.0 s, 3 at or above the threshold of 45%; highest 90% at 0.0 s"
    ]


def test_no_line_crosses_a_gap():
    times = [0.5, 1.5, 2.5, 6.5, 7.5]
    page, _ = panels(case(picture_part=picture([(t, 0.3) for t in times]), duration_s=8))
    hatched = [a for a in page.named("rect") if a.get("fill", "").startswith("url(#hatch")]
    assert [(a["x"], a["width"]) for a in hatched] == [("37.50%", "37.50%")]
    lines = [(a["x1"], a["x2"]) for a in page.named("line", **{"class": "curve"})]
    assert lines == [("6.25%", "18.75%"), ("18.75%", "31.25%"), ("81.25%", "93.75%")]


def test_fragments_are_lines_of_their_length():
    scores = [{"time_s": t, "end_s": t + 2.0, "p_fake": 0.3} for t in (0.0, 2.0, 6.0)]
    voice = {"p_fake": 0.3, "verdict": "pristine", "threshold": 0.5, "fragments_used": 3, "scores": scores}
    page, labels = panels(case(picture_part={"abstained": "no face"}, voice_part=voice, duration_s=8))
    lines = [(a["x1"], a["x2"]) for a in page.named("line", **{"class": "curve"})]
    assert lines == [("0.00%", "25.00%"), ("25.00%", "50.00%"), ("75.00%", "100.00%")]
    assert [a["cx"] for a in page.named("circle", **{"class": "low"})][:3] == ["12.50%", "37.50%", "87.50%"]
    assert labels[0].startswith("Voice: 3 scores")
    assert len([a for a in page.named("rect") if a.get("fill", "").startswith("url(#")]) == 1


def test_every_person_has_a_row_up_to_six():
    part = picture()
    part["scores"] = [{"time_s": k, "p_fake": 0.3, "person": k % 8 + 1} for k in range(24)]
    page, labels = panels(case(picture_part=part))
    assert [label.split(":")[0] for label in labels] == [f"Picture, person {k}" for k in range(1, 7)]
    assert "2 more persons: see the table." in page.words()
    for score in part["scores"]:
        score["person"] = 1
    assert panels(case(picture_part=part))[1][0].startswith("Picture: 24")


def test_frames_become_times_where_the_rate_is_known():
    part = picture()
    part["scores"] = [{"frame_index": 50 * k, "p_fake": 0.3} for k in range(5)]
    assert panels(case(picture_part=part))[1] == []
    assert "over 8 s" in panels(case(picture_part=part, fps=25.0))[1][0]


def test_a_single_picture_has_no_timeline():
    assert panels(case(picture_part=picture([(0, 0.9)])))[1] == []
    assert "over time" not in page_of(case(picture_part=picture([(0, 0.9)]))).words()


def test_gaps_cover_what_marks_do_not():
    rng = np.random.default_rng(5)
    for _ in range(50):
        duration_s, step_s = float(rng.uniform(1, 100)), float(rng.uniform(0.1, 5))
        times_s = np.sort(rng.uniform(0, duration_s, rng.integers(1, 12)))
        gaps = find_gaps(times_s, duration_s, step_s)
        edges = [edge for gap in gaps for edge in gap]
        assert edges == sorted(edges)
        assert all(0 <= edge <= duration_s for edge in edges)
        for start, end in gaps:
            assert end - start > 0.6 * step_s
            assert not ((times_s > start - step_s / 2 + 1e-9) & (times_s < end + step_s / 2 - 1e-9)).any()
        free = [t for t in np.linspace(0, duration_s, 300) if np.abs(times_s - t).min() > 1.2 * step_s]
        assert all(any(start <= t <= end for start, end in gaps) for t in free)


@pytest.mark.parametrize("duration_s", [0.04, 0.9, 1, 5, 9.99, 10, 61, 600, 3600, 40_000])
def test_ticks(duration_s):
    ticks = find_ticks(duration_s)
    assert 1 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert ticks[-1] <= duration_s * (1 + 1e-9)
    assert len({show_time(tick, duration_s) for tick in ticks}) == len(ticks) or duration_s < 0.1


def test_times():
    assert show_time(6.5, 10) == "6.5 s"
    assert show_time(6, 10) == "6 s"
    assert show_time(65, 100) == "1:05"
    assert show_time(3725, 4000) == "1:02:05"


def test_names_in_labels_are_escaped():
    panel = draw_panel('"<b>', np.array([1.0]), np.array([0.5]), 0.4, 2, [], "k")
    assert 'aria-label="&quot;&lt;b&gt;: 1 score' in panel


# ------------------------------------------------------------------ pictures


def decode(uri):
    data = np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_images_keep_colours_and_shape(portrait):
    shown = decode(encode_image(portrait, 256))
    assert shown.shape == (256, 256, 3)
    small = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - small).mean() < 4
    assert decode(encode_image(portrait[:30, :500])).shape == (19, 320, 3)
    assert decode(encode_image(portrait[:9, :5])).shape == (9, 5, 3)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_image(image):
    with pytest.raises(InputError, match="RGB, uint8"):
        render_report([case(moments=[Moment(image, 0.5)])])


def test_heat_map_is_bright_where_high():
    image = np.full((90, 120, 3), 100, np.uint8)
    heat = np.zeros((3, 4))
    heat[2, 3] = 5e-3
    shown = overlay_heat_map(image, heat)
    assert shown.shape == image.shape
    assert shown.dtype == np.uint8
    grey = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
    assert grey[80, 110] > grey[10, 10] + 60
    assert (shown == 255).all(axis=2).any()  # the outline, for those who see no colours
    assert (image == 100).all()
    np.testing.assert_array_equal(overlay_heat_map(image, heat), overlay_heat_map(image, heat * 100))


def test_an_empty_heat_map_shows_nothing():
    shown = overlay_heat_map(face(), np.zeros((3, 3)))
    assert shown.max() <= 141  # grey and darker


@pytest.mark.parametrize("heat", [np.zeros(4), -np.eye(3), np.full((2, 2), np.nan), np.zeros((0, 2))])
def test_what_is_no_heat_map(heat):
    with pytest.raises(InputError, match="heat_map"):
        overlay_heat_map(face(), heat)


# ------------------------------------------------------------------ legible


def contrast(first, second):
    """Ratio of luminances, WCAG 2.2."""

    def luminance(colour):
        parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_text_stands_out_in_light_and_in_dark():
    themes = re.findall(r":root \{(.*?)\}", (ASSETS / "report.css").read_text(), re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
        for ink in ("ink", "soft"):
            for ground in ("ground", "panel", "fake-ground", "real-ground", "open-ground"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for kind in ("fake", "real", "open"):
            assert contrast(colours[kind], colours[f"{kind}-ground"]) >= 4.5, kind


def test_verdicts_carry_words_and_signs():
    fake = page_of(case(picture_part=picture([(0, 0.9)]))).words()
    real = page_of(case(picture_part=picture([(0, 0.1)]))).words()
    assert "▲ looks manipulated" in fake
    assert "● looks pristine" in real


def test_pictures_have_words_instead():
    assert all("alt" in a for a in page_of(full_case()).named("img"))


def test_examples():
    for module in (dfutils.html_pieces, dfutils.html_timeline):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0
