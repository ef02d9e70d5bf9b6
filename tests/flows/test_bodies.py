"""Bodies as real clients send them, through the real server."""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from skimage import data

from tests.running_site import multipart

if TYPE_CHECKING:
    from tests.running_site import RunningSite

pytestmark = [pytest.mark.triton, pytest.mark.processes, pytest.mark.xdist_group("triton")]


class TestABodyInChunks:
    def test_is_read_like_any_other(self, site: RunningSite) -> None:
        file = io.BytesIO()
        Image.fromarray(data.coffee()).resize((96, 64)).save(file, "JPEG")
        body, content_type = multipart(file.getvalue(), "photo.jpg", {"scale": "2"})
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)

        connection.request(
            "POST",
            "/api/v1/images/upscale",
            body=iter([body[:1000], body[1000:]]),
            headers={"Content-Type": content_type, "X-API-Key": site.api_key},
            encode_chunked=True,
        )
        answer = connection.getresponse()

        assert (answer.status, answer.read()[:9]) == (202, b'{"job_id"')
        connection.close()
