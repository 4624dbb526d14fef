"""Folders of PNG and JPEG images, where each subfolder is a class: the same images, in the same order and with the same
labels, as `latent-align convert` takes."""

import hashlib
import io
from pathlib import Path
from typing import List, Optional

from ..errors import InputError
from .numbered import by_numbers

TAKEN = {".png", ".jpg", ".jpeg"}
OTHERS = {".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jxl", ".ppm"}


class _Listing:
    """The contents of a folder in order, without hidden files."""

    def __init__(self, folder: Path):
        self.images, self.folders, self.others, self.ignored = [], [], [], []
        try:
            paths = sorted(folder.iterdir(), key=lambda path: by_numbers(path.name))
        except OSError as error:
            raise InputError(f"{folder}: cannot be listed: {error.strerror}") from None
        for path in paths:
            if path.name.startswith("."):
                continue
            extension = path.suffix.lower()
            if path.is_dir():
                self.folders.append(path)
            elif path.exists() and not path.is_file():
                self.ignored.append(path)  # opening a pipe would wait for a writer
            elif extension in TAKEN:
                self.images.append(path)
            elif extension in OTHERS:
                self.others.append(path)
            else:
                self.ignored.append(path)


class Images:
    """The images of a folder. `labels` [N] and `classes` are None and empty without subfolders."""

    kind = "images"

    def __init__(self, folder: Path, drops_opacity: bool, progress):
        self.path, self.drops_opacity = folder, drops_opacity
        self.labels: Optional[List[int]] = None
        self.classes: List[str] = []
        self.notes: List[str] = []
        self.files = self._list(folder)
        self._grey = 0
        self._digests = []
        progress.total = len(self.files)
        for file in self.files:
            self._digests.append(self._look(file))
            progress.add(1)
        if self._grey:
            self.notes.append(f"{self._grey} grey images get three equal channels")

    def __len__(self):
        return len(self.files)

    def name(self, item: int) -> str:
        return str(self.files[item])

    def digest(self, items) -> str:
        """Of names and contents of these items."""
        sha = hashlib.sha256()
        for item in items:
            name = self.files[item].relative_to(self.path).as_posix()
            sha.update(f"{name}\0{self._digests[item]}\0".encode("utf-8", "surrogateescape"))
        return sha.hexdigest()

    def read(self, item: int):
        """The image as RGB.

        Raises InputError for an image that is truncated, or that changed since it was looked at."""
        file = self.files[item]
        bytes_ = self._bytes(file)
        if hashlib.sha256(bytes_).hexdigest() != self._digests[item]:
            raise InputError(f"{file}: found another image than when the folder was opened; type the command again")
        image = self._open(file, bytes_)
        try:
            image.load()
        except Exception as error:  # Pillow has no common class for what a damaged file raises
            raise self._damaged(file, error) from None
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            if not self.drops_opacity and image.getextrema()[3][0] < 255:
                raise InputError(
                    f"{file}: found transparent pixels, expected opaque ones; `--colours rgb` leaves transparency out"
                )
        return image.convert("RGB")

    def _list(self, folder):
        top = _Listing(folder)
        inner = [(path, _Listing(path)) for path in top.folders]
        for listing in [top, *(listing for _, listing in inner)]:
            if listing.others:
                raise InputError(
                    f"{listing.others[0]}: found an image of another format, expected PNG or JPEG; convert it, such as "
                    "with ImageMagick's `mogrify -format png`, or remove it"
                )
        in_folders = any(listing.images for _, listing in inner)
        if in_folders and top.images:
            raise InputError(
                f"{folder}: found {len(top.images)} images beside folders of images, expected either; each folder is a "
                "class, so move those images into one"
            )
        if not in_folders and not top.images:
            raise InputError(
                f"{folder}: found no PNG or JPEG images, expected some; put images into it, or into folders of it, one a "
                "class"
            )
        files, ignored = list(top.images), list(top.ignored)
        if in_folders:
            self.labels = []
            for number, (path, listing) in enumerate(inner):
                if not listing.images:
                    raise InputError(
                        f"{path}: found a folder without PNG or JPEG images, expected the images of the class "
                        f"`{path.name}`; remove it or fill it"
                    )
                self.classes.append(path.name)
                self.labels += [number] * len(listing.images)
                files += listing.images
                ignored += listing.ignored
        if ignored:
            self.notes.append(f"{len(ignored)} files that are no images are left out, such as {ignored[0]}")
        deeper = [path for _, listing in inner for path in listing.folders]
        if deeper:
            self.notes.append(f"{len(deeper)} folders inside folders are left out, such as {deeper[0]}")
        return files

    def _look(self, file):
        """Checks the header, and returns the digest of the contents."""
        bytes_ = self._bytes(file)
        image = self._open(file, bytes_)
        if max(image.size) > 1 << 15:
            raise self._damaged(file, f"{image.size[1]} x {image.size[0]} pixels, more than {1 << 15} a side")
        if image.mode.startswith("I") or bytes_[:4] == b"\x89PNG" and bytes_[24] == 16:
            raise InputError(f"{file}: found 16 bits a channel, expected at most 8; save it with 8 bits")
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
            raise InputError(f"{file}: found the colours {image.mode}, expected grey or RGB; save it as RGB")
        self._grey += image.mode in ("1", "L", "LA")
        return hashlib.sha256(bytes_).hexdigest()

    def _bytes(self, file):
        try:
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from None

    def _open(self, file, bytes_):
        from PIL import Image

        try:
            return Image.open(io.BytesIO(bytes_), formats=("PNG", "JPEG"))
        except Exception as error:
            raise self._damaged(file, "no PNG or JPEG" if "identify" in str(error) else error) from None

    @staticmethod
    def _damaged(file, why):
        return InputError(
            f"{file}: found an image that cannot be read ({why}), expected a PNG or JPEG image; it is truncated or "
            "damaged. Copy it again, or remove it"
        )
