#!/usr/bin/env python3
"""Makes the pictures of the fake camera: JPEGs of one exact size, and with --raw also YUYV frames.

usage: make_frames.py [--prefix frames] [--size 50000] [--resolution 1280x720] [--count 30] [--video FILE] [--raw]

Writes PREFIX_SIZE/f000.jpg ... and PREFIX_yuyv_WIDTHxHEIGHT.raw, which is what FAKEV4L2_DIR=PREFIX and
FAKEV4L2_SIZE=SIZE name. Each JPEG is a real picture, encoded by GStreamer at the best quality that fits, and filled up
with comments. The first comment is the time stamp that the fake camera writes into.

Needs gst-launch-1.0 (gstreamer1.0-tools) and the plugins base and good. Without --video, or when GStreamer has no
decoder for it, the pictures are a test pattern: for a camera whose JPEGs are passed through, their content does not
matter.
"""

import argparse
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
STAMP = b"CAMTS:" + b"0" * 16
# A comment holds at most this much beside its marker (2 bytes), its length counting itself.
LONGEST_COMMENT = 65_533
QUALITIES = range(90, 0, -5)


def main():
    arguments = parse_arguments()
    width, height = (int(part) for part in arguments.resolution.split("x"))
    sources = [source for source in (video_source(arguments.video), test_source()) if source]
    for source in sources:
        pictures = encode_to_fit(source, width, height, arguments.count, arguments.size)
        if pictures:
            break
        print(f"make_frames: GStreamer cannot give pictures from: {' '.join(source)}", file=sys.stderr)
    else:
        sys.exit("make_frames: no pictures: is gst-launch-1.0 there, with jpegenc from the good plugins?")
    folder = pathlib.Path(f"{arguments.prefix}_{arguments.size}")
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        (folder / f"f{number:03d}.jpg").write_bytes(padded(picture, arguments.size))
    print(f"{folder}: {len(pictures)} pictures of {arguments.size} bytes from {source[0]}")
    if arguments.raw:
        write_raw(source, width, height, f"{arguments.prefix}_yuyv_{width}x{height}.raw")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", default=str(HERE / "frames"))
    parser.add_argument("--size", type=int, default=50_000, help="bytes of each picture")
    parser.add_argument("--resolution", default="1280x720")
    parser.add_argument("--count", type=int, default=30, help="how many pictures, at most 512")
    parser.add_argument("--video", help="footage to take the pictures from")
    parser.add_argument("--raw", action="store_true", help="also write ten YUYV frames")
    return parser.parse_args()


def video_source(path):
    if not path or not pathlib.Path(path).is_file():
        return None
    return ["filesrc", f"location={path}", "!", "decodebin", "!", "videoconvert", "!", "videoscale"]


def test_source():
    return ["videotestsrc", "pattern=zone-plate", "kx2=20", "ky2=20", "kt=1"]


def launch(source, *rest):
    """Runs a GStreamer pipeline to its end; whether it succeeded."""
    command = ["gst-launch-1.0", "-q", *source, "!", *rest]
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def encode(source, width, height, count, quality):
    """`count` JPEGs, fewer when the source ends before, none when GStreamer cannot make them."""
    # jpegenc takes RGB for 4:4:4, which is three times the size: force I420.
    caps = f"video/x-raw,format=I420,width={width},height={height}"
    with tempfile.TemporaryDirectory(prefix="gantry-frames-") as folder:
        pattern = f"location={folder}/%05d.jpg"
        limit = ["identity", f"eos-after={count + 1}"]
        jpegenc = ["jpegenc", f"quality={quality}"]
        if not launch(source, caps, "!", *limit, "!", *jpegenc, "!", "multifilesink", pattern):
            return []
        return [path.read_bytes() for path in sorted(pathlib.Path(folder).glob("*.jpg"))[:count]]


def encode_to_fit(source, width, height, count, size):
    """The pictures at the best quality at which each of them fits into `size` bytes."""
    pictures = []
    for quality in QUALITIES:
        pictures = encode(source, width, height, count, quality)
        # What is missing must be nothing, or enough for the marker and the length of a comment.
        if not pictures or all(len(picture) + len(comment(STAMP)) + 4 <= size for picture in pictures):
            return pictures
    largest = max(len(picture) for picture in pictures)
    sys.exit(f"make_frames: at the lowest quality a picture has {largest} bytes: give a larger --size")


def comment(text):
    """A JPEG comment segment."""
    return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text


def padded(picture, size):
    """The picture with the time stamp's comment in front and further ones, `size` bytes in all."""
    segments = comment(STAMP)
    missing = size - len(picture) - len(segments)
    while missing > 0:
        length = min(missing - 4, LONGEST_COMMENT)
        left = missing - 4 - length
        if 0 < left < 4:
            length -= 4
        segments += comment(b"x" * length)
        missing -= 4 + length
    return picture[:2] + segments + picture[2:]


def write_raw(source, width, height, path):
    caps = f"video/x-raw,format=YUY2,width={width},height={height}"
    if not launch(source, "videoconvert", "!", caps, "!", "identity", "eos-after=11", "!", "filesink", f"location={path}"):
        sys.exit(f"make_frames: GStreamer cannot give YUYV from {source[0]}")
    print(f"{path}: {pathlib.Path(path).stat().st_size // (width * height * 2)} YUYV frames")


if __name__ == "__main__":
    main()
