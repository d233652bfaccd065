"""The page in a browser: uploads of every kind, results, downloads, and clean-up when it is closed."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import cv2
import numpy as np
import pytest
from page_server import wait_until
from sequence_files import write_sequences

from mviper.graphics import enlarge, read_video, write_video
from mviper.structures import HumanData

#: A picture of nobody.
GREY = cv2.imencode(".png", np.full((200, 200, 3), 120, np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A train, a val and a test sequence that differ in motion, garment and visibility, and one that is broken."""
    data = tmp_path_factory.mktemp("data")
    write_sequences(data)
    worn = {"train": ("walk", "coat"), "val": ("walk", "dress"), "test": ("run", "coat")}
    for split, (clip, garment) in worn.items():
        (manifest,) = data.glob(f"{split}/*/manifest.json")
        content = {**json.loads(manifest.read_text()), "clip": clip, "garments": [{"name": garment}]}
        manifest.write_text(json.dumps(content))
        annotation = HumanData.load(manifest.with_name("east.npz"))
        annotation.visibility[:, ::2] = clip == "walk"
        annotation.save(manifest.with_name("east.npz"))
    (data / "train" / "broken").mkdir()
    (data / "train" / "broken" / "manifest.json").write_text("{}")
    return data


@pytest.fixture(scope="module")
def server(serve, data):
    return serve("--data", data, "--max-megabytes", 1, "--max-seconds", 2)


def find(window, selector):
    return window.find_elements("css selector", selector)


def upload(window, path):
    wait_until(lambda: find(window, "#upload input[type=file]"))
    find(window, "#upload input[type=file]")[0].send_keys(str(path))


def has_result(window):
    return bool(find(window, "#result iframe") and find(window, "#files a"))


def complaint(window):
    """The page's error messages, read at once, since they disappear after a while."""
    return window.execute_script(
        "return [...document.querySelectorAll('.toast-body')].map(message => message.innerText).join(' ')"
    )


def open_data_set(window):
    wait_until(lambda: find(window, "button[role=tab]"))
    next(tab for tab in find(window, "button[role=tab]") if tab.text == "Data set").click()
    wait_until(lambda: find(window, "#videos input")[0].is_displayed())


def unfold(window, name):
    """Opens a drop-down list, after closing any other."""
    find(window, "h1")[0].click()
    wait_until(lambda: not find(window, "ul[role=listbox]"))
    find(window, f"#{name} input")[0].click()


def choose(window, name, text):
    unfold(window, name)
    option = f"//ul[@role='listbox']/li[contains(., '{text}')]"
    wait_until(lambda: window.find_elements("xpath", option))
    window.find_element("xpath", option).click()


def plays(window):
    return window.execute_script(
        "const v = document.querySelector('#video video'); return Boolean(v && v.readyState >= 2 && v.currentTime > 0)"
    )


def status_of(url, **request):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **request), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_video_is_recovered_shown_and_downloaded(server, browser, short_video, tmp_path):
    window = browser(server.url)
    upload(window, short_video)
    wait_until(lambda: find(window, "progress") or has_result(window))
    wait_until(lambda: has_result(window))
    assert "What was unsure" in find(window, "#unsure")[0].text
    window.switch_to.frame(find(window, "#result iframe")[0])
    wait_until(lambda: window.execute_script("return document.getElementById('video').played.length"))
    assert not window.execute_script("return document.getElementById('video').error")
    pixels = window.execute_script(  # the mesh is drawn: not everything is white
        "draw(); const g = gl, p = new Uint8Array(4 * canvas.width * canvas.height);"
        "g.readPixels(0, 0, canvas.width, canvas.height, g.RGBA, g.UNSIGNED_BYTE, p);"
        "return p.filter((v, i) => i % 4 == 0 && v < 200).length"
    )
    assert pixels > 500
    assert "upload" not in find(window, "footer")[0].text  # a name of ours, not the user's
    assert find(window, "#bar")[0].rect["height"] > 12 and "up to 8 cm" in find(window, "#sure")[0].text
    window.switch_to.default_content()
    window.set_window_size(500, 900)  # a phone
    assert window.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
    open_data_set(window)  # the result outlives a look at the other tab
    choose(window, "videos", "test/")
    wait_until(lambda: plays(window))
    find(window, "button[role=tab]")[0].click()
    wait_until(lambda: find(window, "#files a")[0].is_displayed())
    links = {link.get_attribute("href") for link in find(window, "#files a")}
    assert {link.rpartition(".")[2] for link in links} == {"mp4", "glb", "bvh", "npz"}
    find(window, "#files a[href$='.mp4']")[0].click()
    wait_until(lambda: (tmp_path / "overlay.mp4").is_file())
    assert len(read_video(tmp_path / "overlay.mp4")) == 8
    for link in links:
        with urllib.request.urlopen(link, timeout=30) as answer:
            assert len(answer.read()) > 1000
    window.quit()
    wait_until(lambda: not server.files())
    assert status_of(next(iter(links))) in (403, 404)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("notes.txt", b"hello", "Invalid file type"),
        ("empty.mp4", b"", "it is empty. What to do:"),
        ("damaged.mp4", b"\x00\x00\x00\x20ftypisom" + b"\xff" * 999, "not a readable video"),
        ("big.mp4", bytes(1_500_000), "exceed the maximum allowed size"),
        ("a';$(touch x)<b>..mp4", b"no video", "not a readable video"),
        ("grey.png", GREY, "Nobody was found in it"),
    ],
)
def test_bad_uploads_are_refused_in_words(server, browser, tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    window = browser(server.url)
    upload(window, path)
    wait_until(lambda: expected in complaint(window))
    assert "/" not in complaint(window) and "--" not in complaint(window) and not has_result(window)
    assert "Traceback" not in server.log.read_text()
    window.quit()
    wait_until(lambda: not server.files())


def test_long_video_is_refused(server, browser, tmp_path):
    write_video(tmp_path / "long.mp4", [np.zeros((64, 64, 3), np.uint8)] * 8, 2)
    window = browser(server.url)
    upload(window, tmp_path / "long.mp4")
    wait_until(lambda: "longer than 2 s" in complaint(window))


def test_two_uploads_at_once(server, browser, short_video):
    windows = [browser(server.url), browser(server.url)]
    for window in windows:
        upload(window, short_video)
    wait_until(lambda: all(map(has_result, windows)), 600)
    first, second = ({link.get_attribute("href") for link in find(window, "#files a")} for window in windows)
    assert not first & second


def test_browser_closed_midway_leaves_nothing(server, browser, short_video):
    window = browser(server.url)
    upload(window, short_video)
    wait_until(lambda: find(window, ".progress progress"))  # Gradio has another one while a file arrives
    assert server.files()
    window.quit()
    wait_until(lambda: not server.files())


def test_videos_of_a_data_set_are_filtered_and_played(server, browser, data):
    window = browser(server.url)
    keys = importlib.import_module("selenium.webdriver").Keys
    open_data_set(window)
    label = lambda: find(window, "#videos")[0].text  # noqa: E731
    assert "3 videos" in label() and not find(window, "#video video") and find(window, "#skipped")
    choose(window, "garments", "coat")
    wait_until(lambda: "2 videos" in label())
    unfold(window, "videos")
    listed = (
        "return [...document.querySelectorAll('ul[role=listbox] li')].map(option => option.innerText.split('/')[0])"
    )
    wait_until(lambda: window.execute_script(listed) == ["train", "test"])
    percent = find(window, "#visible input[type=number]")[0]
    percent.send_keys(keys.CONTROL, "a")
    percent.send_keys("80", keys.ENTER)
    wait_until(lambda: "1 video" in label())
    choose(window, "motion", "run")
    wait_until(lambda: "No video matches" in label())
    choose(window, "motion", "walk")
    wait_until(lambda: "1 video" in label())
    choose(window, "videos", "coat")
    wait_until(lambda: plays(window))
    (file,) = server.files()
    (original,) = data.glob("train/wave*/east.mp4")
    for drawn, image in zip(read_video(file), read_video(original), strict=True):
        assert np.count_nonzero(np.abs(drawn - enlarge(image, 2).astype(int)) > 100) > 500  # the bones
    window.quit()
    wait_until(lambda: not server.files())


def test_nothing_outside_its_folder_is_served(server, repository):
    outside = ["/etc/passwd", str(repository / "README.md"), f"{server.temporary}/log.txt", "README.md",
               f"{server.temporary}/mviper_app_x/../log.txt", "..%2f..%2f..%2fetc%2fpasswd"]  # fmt: skip
    for path in outside:
        for route in ("gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/"):
            assert status_of(server.url + route + path) in (403, 404, 405), (route, path)


def test_sent_past_the_page_an_oversized_file_is_refused(server):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../evil.mp4"\r\n\r\n' + bytes(
        1_500_000
    ) + b"\r\n--x--\r\n"  # fmt: skip
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert status_of(server.url + "gradio_api/upload", data=body, headers=headers, method="POST") == 413
    assert not list(server.temporary.parent.rglob("evil.mp4"))


def test_path_in_a_name_is_cut(server):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../../evil.mp4"\r\n\r\nx\r\n--x--\r\n'
    request = urllib.request.Request(
        server.url + "gradio_api/upload", data=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        (stored,) = json.load(answer)
    (folder,) = server.temporary.glob("mviper_app_*")
    assert stored.startswith(f"{folder}/") and ".." not in stored
    shutil.rmtree(stored.rpartition("/")[0])


def test_phone(server, browser):
    window = browser(server.url, 500, 900)
    wait_until(lambda: find(window, "#upload input[type=file]"))
    assert window.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_public_page_needs_its_token(serve, browser):
    server = serve("--public", token="a-token-of-some-length")
    assert "log in as mviper with the token a-token-of-some-length" in server.log.read_text()
    assert status_of(server.url + "config") == 401
    assert status_of(server.url + "gradio_api/upload", data=b"", method="POST") == 401

    def log_in(token):
        form = urllib.parse.urlencode({"username": "mviper", "password": token}).encode()
        return status_of(server.url + "login", data=form, method="POST")

    assert log_in("guess") == 400 and log_in("a-token-of-some-length") == 200
    window = browser(server.url)
    for token in ("guess", "a-token-of-some-length"):
        wait_until(lambda: find(window, "input[type=password]"))
        for field, text in zip(find(window, "input"), ("mviper", token), strict=True):
            field.clear()
            field.send_keys(text)
        assert not find(window, "#upload")
        find(window, "button")[-1].click()
    wait_until(lambda: find(window, "#upload input[type=file]"))
    server.stop()
    assert not list(server.temporary.glob("mviper_app_*"))


def test_short_token_is_refused(repository):
    done = subprocess.run(
        [sys.executable, "tools/app.py", "--public"], cwd=repository, capture_output=True, text=True, timeout=200,
        env={**os.environ, "MVIPER_TOKEN": "1234"},
    )  # fmt: skip
    assert done.returncode == 1 and "expected at least 12" in done.stderr
