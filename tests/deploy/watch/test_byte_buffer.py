from __future__ import annotations

import threading

import pytest

from asd_ray.deploy.watch.byte_buffer import ByteBuffer


def test_bytes_are_taken_together_with_the_time_of_the_last() -> None:
    buffer = ByteBuffer()
    assert buffer.take(0.0) is None
    assert buffer.put(b"ab", 1.0)
    assert buffer.put(b"c", 2.0)
    assert buffer.take(0.0) == (b"abc", 2.0)
    assert buffer.take(0.0) is None
    assert not buffer.put(b"", 3.0)
    assert buffer.take(0.0) == (b"", 3.0)


def test_a_full_buffer_holds_up_the_reader_until_bytes_are_taken() -> None:
    buffer = ByteBuffer(limit=4)
    buffer.put(b"abcd", 1.0)
    reader = threading.Thread(target=buffer.put, args=(b"e", 2.0))
    reader.start()
    reader.join(0.1)
    assert reader.is_alive()
    assert buffer.take(0.0) == (b"abcd", 1.0)
    assert buffer.take(5.0) == (b"e", 2.0)
    reader.join()


def test_closing_lets_the_reader_go() -> None:
    buffer = ByteBuffer(limit=1)
    buffer.put(b"a", 1.0)
    answers: list[bool] = []
    reader = threading.Thread(target=lambda: answers.append(buffer.put(b"b", 2.0)))
    reader.start()
    buffer.close()
    reader.join()
    assert answers == [False]


def test_an_error_comes_after_the_bytes_before_it() -> None:
    buffer = ByteBuffer()
    buffer.put(b"a", 1.0)
    buffer.fail(OSError(5, "broken"))
    assert buffer.take(0.0) == (b"a", 1.0)
    with pytest.raises(OSError, match="broken"):
        buffer.take(0.0)
