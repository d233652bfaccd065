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
from mviper.errors import MviperError
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
                yield progress.bar(), None, ""
        try:
            yield _shown(made.result())
        except Cancelled:
            return
        except MviperError as error:
            yield nothing
            raise gr.Error(str(error).replace(f"{job.folder}/", ""), duration=None) from error
        except Exception as error:
            traceback.print_exc()  # for the server's operator; users see no paths
            yield nothing
            raise gr.Error("something went wrong; the server's terminal says what") from error

    def take_example(request: gr.Request) -> None:
        folder = workplace.begin(request.session_hash).folder
        (folder / "upload.mp4").write_bytes(EXAMPLE.read_bytes())

    def leave(request: gr.Request) -> None:
        workplace.leave(request.session_hash)

    nothing = ("", None, "")
    with gr.Blocks(title="MVIPER", analytics_enabled=False, delete_cache=(_STRAY, _STRAY)) as page:
        gr.Markdown("# MVIPER\nThe moving body in a video or photo, as a mesh to look at and files to use.")
        with gr.Tab("Recover"):
            upload = gr.File(
                label=f"Drop a video or photo (at most {limits.megabytes:g} MB, {limits.seconds:g} s)",
                file_types=_FORMATS, height=150, elem_id="upload",
            )  # fmt: skip
            example = gr.Button("Try the example", elem_id="example")
            view = gr.HTML(elem_id="result")
            unsure = gr.Markdown(elem_id="unsure")
            kinds = ", ".join(f"{ending} ({what})" for ending, what in EXPORTS.items())
            files = gr.File(label=f"Download: the overlay, {kinds}", interactive=False, elem_id="files")
            results = [view, files, unsure]
            private = dict(api_visibility="private")
            worker = dict(concurrency_limit=1, concurrency_id="recovery", show_progress="minimal", **private)
            taken = upload.upload(take, upload, None, queue=False, **private)
            taken.success(recover, None, results, **worker)
            example.click(take_example, None, None, queue=False, **private).success(recover, None, results, **worker)
            upload.clear(leave, None, None, queue=False, **private)
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


def _shown(made: Recovery) -> tuple[str, list[str], str]:
    """The page in its own frame, the files and the remarks."""
    page = html.escape(made.page.read_text(), quote=True)
    frame = f'<iframe sandbox="allow-scripts" title="the overlay beside the turning mesh" srcdoc="{page}"></iframe>'
    unsure = "\n".join(f"- {remark}" for remark in made.remarks) or "- Nothing stood out."
    return frame, [str(path) for path in made.files], f"### What was unsure\n{unsure}"


def _add_gallery(gallery: Gallery, workplace: Workplace, private: dict) -> None:
    titles = {take.title: take for take in gallery.takes}
    with gr.Row():
        garments = gr.Dropdown(gallery.garments, multiselect=True, label="Garments", elem_id="garments")
        motion = gr.Dropdown(["any", *gallery.motions], value="any", label="Motion", elem_id="motion")
        visible = gr.Slider(0, 100, 0, step=5, label="Joints visible, at least [%]", elem_id="visible")
    chosen = gr.Dropdown(list(titles), label=f"{len(titles)} takes", elem_id="takes")
    video = gr.Video(
        label="Joints: filled where visible, hollow where hidden", elem_id="take", loop=True, autoplay=True
    )

    def narrow(worn: list[str], clip: str, percent: float) -> object:
        found = [take.title for take in gallery.select(worn, None if clip == "any" else clip, percent / 100)]
        return gr.Dropdown(found, value=None, label=f"{len(found)} takes")

    def play(title: str | None, request: gr.Request) -> str | None:
        if title is None:
            return None
        try:
            return str(titles[title].write(workplace.begin(request.session_hash).folder / "take.mp4"))
        except MviperError as error:
            raise gr.Error(str(error)) from error

    for widget in (garments, motion, visible):
        widget.change(narrow, [garments, motion, visible], chosen, queue=False, **private)
    chosen.change(play, chosen, video, concurrency_limit=1, concurrency_id="gallery", **private)
