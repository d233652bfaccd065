"""The web page, made with Gradio; imported only by :func:`mviper.app.serve`."""

from __future__ import annotations

import html
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import gradio as gr

from mviper.app.gallery import Gallery
from mviper.app.jobs import EXPORTS, Cancelled, Recovery, Workplace
from mviper.errors import FileFormatError, MviperError, NobodyFound
from mviper.inference import MeshRecoverer

EXAMPLE = Path(__file__).with_name("example.mp4")

#: Orphaned uploads (page closed before they arrived, or sent without a page) are removed after this time [s].
_STRAY = 600

_FORMATS = ["video", "image", ".mkv", ".webm", ".mov", ".heic", ".avif"]


def build_page(recoverer: MeshRecoverer, workplace: Workplace, gallery: Gallery | None = None) -> gr.Blocks:
    """The page.

    Args:
        recoverer: Recovers uploads.
        workplace: Keeps uploads and results.
        gallery: A generated data set for the second tab; None: no such tab.
    """
    limits = workplace.limits

    def take(upload: str | None, request: gr.Request) -> None:
        """Runs as soon as the file has arrived, so that it waits in the page's own folder."""
        if upload is not None:
            workplace.begin(request.session_hash).take(Path(upload))

    def recover(request: gr.Request) -> Iterator[tuple]:
        job = workplace.job(request.session_hash)
        if job is None:
            return
        progress = _Progress()
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(job.recover, recoverer, next(job.folder.glob("upload*")), progress)
            while not wait([made], timeout=0.5).done:
                yield progress.bar(), gr.File(None, visible=False), ""
        try:
            yield _shown(made.result())
        except Cancelled:
            return
        except MviperError as error:
            yield nothing
            _complain(error, job.folder)
        except Exception:
            traceback.print_exc()  # for the server's operator; users see no paths
            yield nothing
            gr.Warning("This is a fault of the program; its terminal says more.", None)

    def take_example(request: gr.Request) -> None:
        folder = workplace.begin(request.session_hash).folder
        (folder / "upload.mp4").write_bytes(EXAMPLE.read_bytes())

    def clear(request: gr.Request) -> None:
        workplace.leave(request.session_hash)

    def leave(request: gr.Request) -> None:
        workplace.leave(request.session_hash)
        workplace.leave(_player(request))

    nothing = ("", gr.File(None, visible=False), "")
    with gr.Blocks(title="MVIPER", analytics_enabled=False, delete_cache=(_STRAY, _STRAY)) as page:
        gr.Markdown("# MVIPER\nThe moving body in a video or photo, as a mesh to look at and files to use.")
        with gr.Tab("Recover"):
            upload = gr.File(
                label=f"Video or photo, up to {limits.megabytes:g} MB, {limits.seconds:g} s",
                file_types=_FORMATS, height=150, elem_id="upload",
            )  # fmt: skip
            example = gr.Button("Try the example", elem_id="example")
            view = gr.HTML(elem_id="result")
            unsure = gr.Markdown(elem_id="unsure")
            kinds = ", ".join(f"{ending} ({what})" for ending, what in EXPORTS.items())
            files = gr.File(label=f"Download: the overlay, {kinds}", interactive=False, visible=False, elem_id="files")
            results = [view, files, unsure]
            private = dict(api_visibility="private")
            worker = dict(concurrency_limit=1, concurrency_id="recovery", show_progress="minimal", **private)
            taken = upload.upload(take, upload, None, queue=False, **private)
            taken.success(recover, None, results, **worker)
            example.click(take_example, None, None, queue=False, **private).success(recover, None, results, **worker)
            upload.clear(clear, None, None, queue=False, **private)
        if gallery is not None:
            with gr.Tab("Data set"):
                _add_gallery(gallery, workplace, private)
        page.unload(leave)
    return page.queue(max_size=8, api_open=False)


class _Progress:
    """Progress of a job, updated from the job's threads."""

    def __init__(self) -> None:
        self._now: tuple[str, float | None, float | None] = ("Opening the file", None, None)

    def __call__(self, step: str, share: float | None, left: float | None) -> None:
        self._now = (f"Step {step}", share, left)

    def bar(self) -> str:
        """As HTML; without a share the bar is indeterminate."""
        step, share, left = self._now
        about = "" if left is None else f", about {max(1, round(left))} s left in this step"
        value = "" if share is None else f' value="{share:.3f}"'
        return f'<div class="progress"><progress{value}></progress><p>{step}{about}</p></div>'


def _complain(error: MviperError, folder: Path) -> None:
    """Shows an error in the page until it is closed, without the server's paths.

    Args:
        error: The error.
        folder: Folder of the file.
    """
    if isinstance(error, NobodyFound):
        text = "Nobody was found in it. People should be seen whole, in good light, and not be too small."
    elif isinstance(error, FileFormatError):
        advice = error.hint or "does it play in a video player? Save it again as MP4, or a photo as JPEG"
        text = f"This file cannot be used: {error.problem}. What to do: {advice}."
    else:
        text = str(error)
    gr.Warning(html.escape(text.replace(f"{folder}/", ""), quote=False), None)


def _player(request: gr.Request) -> str:
    """Key of the second tab's folder; the first tab's is the session."""
    return f"{request.session_hash} player"


def _shown(made: Recovery) -> tuple[str, gr.File, str]:
    """The page in its own frame, the files and the remarks."""
    page = html.escape(made.page.read_text(), quote=True)
    frame = f'<iframe sandbox="allow-scripts" title="the overlay beside the turning mesh" srcdoc="{page}"></iframe>'
    unsure = "\n".join(f"- {remark}" for remark in made.remarks) or "- Nothing stood out."
    return frame, gr.File([str(path) for path in made.files], visible=True), f"### What was unsure\n{unsure}"


def _add_gallery(gallery: Gallery, workplace: Workplace, private: dict) -> None:
    titles = {video.title: video for video in gallery.videos}
    with gr.Row():
        garments = gr.Dropdown(gallery.garments, multiselect=True, label="Garments", elem_id="garments")
        motion = gr.Dropdown(["any", *gallery.motions], value="any", label="Motion", elem_id="motion")
        visible = gr.Slider(0, 100, 0, step=5, label="Visible, at least [%]", elem_id="visible")
    chosen = gr.Dropdown(
        list(titles), value=None, label=_count(len(titles)), elem_id="videos",
        info="Joints are drawn filled where visible, hollow where hidden.",
    )  # fmt: skip
    video = gr.Video(show_label=False, height=480, elem_id="video", loop=True, autoplay=True)

    def narrow(worn: list[str], clip: str, percent: float) -> object:
        found = [each.title for each in gallery.select(worn, None if clip == "any" else clip, percent / 100)]
        return gr.Dropdown(found, value=None, label=_count(len(found)))

    def play(title: str | None, request: gr.Request) -> str | None:
        if title is None:
            workplace.leave(_player(request))
            return None
        try:
            return str(titles[title].write(workplace.begin(_player(request)).folder / "video.mp4"))
        except MviperError as error:
            _complain(error, titles[title].sequence.folder)
            return None

    for widget in (garments, motion, visible):
        widget.change(narrow, [garments, motion, visible], chosen, queue=False, **private)
    chosen.change(play, chosen, video, concurrency_limit=1, concurrency_id="gallery", **private)

    if gallery.skipped:
        rows = "\n".join(f"- {name}: {problem}" for name, problem in gallery.skipped.items())
        with gr.Accordion("Not listed", open=False, elem_id="skipped"):
            gr.Markdown(rows.replace(f"{gallery.root}/", ""))


def _count(videos: int) -> str:
    return (
        f"{videos} video{'s' * (videos != 1)}: choose one to play" if videos else "No video matches: widen the filters"
    )
