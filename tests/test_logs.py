"""Log lines: what they look like, that who logs never waits, and that none is lost unsaid."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import subprocess
import sys
import termios
import threading
import tty
import warnings

import pytest

from trionode import logs
from trionode.ids import object_id
from trionode.logs import get_logger

PIPE_READ_BYTES = 1 << 16


class Reader:
    """The other end of what a log is written to, read only when a test asks."""

    def __init__(self, make_ends=os.pipe):
        self.read_fd, self.write_fd = make_ends()

    def fill(self):
        """Leave no room, so that the next write blocks."""
        os.set_blocking(self.write_fd, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(self.write_fd, b"x" * PIPE_READ_BYTES)
        os.set_blocking(self.write_fd, True)

    def text(self):
        """All that was written; the write end is closed first."""
        os.close(self.write_fd)
        self.write_fd = None
        found = bytearray()
        while part := os.read(self.read_fd, PIPE_READ_BYTES):
            found += part
        return found.lstrip(b"x").decode()

    def lines(self):
        return [json.loads(line) for line in self.text().splitlines()]

    def close(self):
        for fd in (self.read_fd, self.write_fd):
            if fd is not None:
                os.close(fd)


@pytest.fixture
def pipe():
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture
def terminal():
    def open_terminal():
        controller, end = os.openpty()
        tty.setraw(end, termios.TCSANOW)
        return controller, end

    reader = Reader(open_terminal)
    yield reader
    reader.close()


def written(pipe, **options):
    """The lines of a JSON log that one block wrote."""
    return logs.start(fd=pipe.write_fd, form="json", **options)


class TestALine:
    def test_has_time_level_event_and_fields(self, pipe):
        with written(pipe):
            get_logger(node="n1").bind(peer="10.0.0.1:7400").info("linked", stream=3)
        (line,) = pipe.lines()
        time = line.pop("time")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
        assert list(line.items()) == [
            ("level", "info"),
            ("event", "linked"),
            ("node", "n1"),
            ("peer", "10.0.0.1:7400"),
            ("stream", 3),
        ]

    def test_names_an_object_by_the_text_form_of_its_id(self, pipe):
        with written(pipe):
            get_logger().info("lost", object=object_id(5, 7))
        assert pipe.lines()[0]["object"] == "00000000000000000005-7"

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_tells_of_a_payload_only_its_length(self, pipe, kind):
        with written(pipe):
            get_logger().info("odd", payload=kind(b"secret"))
        assert pipe.lines()[0]["payload"] == "<6 bytes>"

    def test_is_bounded_however_long_a_field_is(self, pipe):
        with written(pipe):
            get_logger().info("x" * 100_000, reason="a" + "y" * 100_000 + "z")
        line = pipe.lines()[0]
        assert len(line["event"]) < 3_000
        assert len(line["reason"]) < 3_000
        assert (line["reason"][0], line["reason"][-1]) == ("a", "z")

    def test_tells_of_an_exception_where_it_was_raised(self, pipe):
        log = get_logger()
        with written(pipe):
            try:
                raise ValueError("wrong")
            except ValueError as error:
                log.error("given", exc_info=error)  # noqa: TRY400  # our loggers have one way
                log.error("handled", exc_info=True)  # noqa: G201  # our loggers have one way
        given, handled = pipe.lines()
        assert given["exception"] == handled["exception"]
        assert given["exception"].startswith("Traceback (most recent call last):")
        assert given["exception"].endswith("ValueError: wrong")

    def test_without_an_exception_to_tell_of_has_none(self, pipe):
        with written(pipe):
            get_logger().error("odd", exc_info=True)
        assert "exception" not in pipe.lines()[0]

    def test_survives_a_value_that_cannot_be_shown(self, pipe):
        class Broken:
            def __str__(self):
                raise RuntimeError

        with written(pipe):
            get_logger().info("odd", value=Broken(), big=1 << 80, text="\ud800", ratio=0.5, no=None)
        line = pipe.lines()[0]
        assert line["value"] == "<Broken: RuntimeError>"
        assert line["big"] == str(1 << 80)
        assert line["text"] == "\\ud800"

    def test_keeps_its_time_and_level_from_fields_of_that_name(self, pipe):
        with written(pipe):
            get_logger().info("odd", level="high", time="late")
        line = pipe.lines()[0]
        assert (line["level"], line["level_"], line["time_"]) == ("info", "high", "late")


class TestForPeople:
    def test_a_terminal_gets_colours_and_readable_lines(self, terminal, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        with logs.start(fd=terminal.write_fd):
            get_logger(node="n1").warning("lost", peer="n2")
        # A terminal gives what it holds only while its other end is open.
        text = os.read(terminal.read_fd, PIPE_READ_BYTES).decode()
        assert "\x1b[" in text
        plain = re.sub(r"\x1b\[[\d;]*m", "", text)
        assert re.search(r"Z \[warning +\] lost +node=n1 peer=n2\n", plain)

    @pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
    def test_a_terminal_that_wants_no_colours_gets_none(self, terminal, monkeypatch, name, value):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv(name, value)
        with logs.start(fd=terminal.write_fd):
            get_logger().info("hello")
        assert "\x1b" not in os.read(terminal.read_fd, PIPE_READ_BYTES).decode()

    def test_a_pipe_gets_json_unless_told_otherwise(self, pipe):
        running = logs.start(fd=pipe.write_fd)
        get_logger().info("hello")
        running.stop()
        running = logs.start(fd=pipe.write_fd, form="human")
        get_logger().info("hello")
        running.stop()
        first, second = pipe.text().splitlines()
        assert json.loads(first)["event"] == "hello"
        assert second.endswith("hello")
        assert "\x1b" not in second

    def test_text_of_a_peer_cannot_move_the_cursor_or_forge_a_line(self, pipe):
        with logs.start(fd=pipe.write_fd, form="human"):
            get_logger().info("re\x1b[2Jfused", reason="no\nforged [error] line\x1b[2J")
            try:
                raise ValueError("\x1b[2J\r")
            except ValueError as error:
                get_logger().error("failed", exc_info=error)
        text = pipe.text()
        assert "\x1b" not in text
        assert "\r" not in text
        assert text.splitlines()[0].count("forged") == 1
        assert text.rstrip().endswith(r"ValueError: \x1b[2J")

    def test_the_format_can_change_while_running(self, pipe):
        with written(pipe) as running:
            running.set_format("human")
            get_logger().info("hello")
        assert not pipe.text().startswith("{")


class TestLevels:
    def test_lines_below_the_level_are_not_written(self, pipe):
        log = get_logger()
        with written(pipe, level="warning"):
            log.debug("no")
            log.info("no")
            log.warning("yes")
            log.error("yes")
        assert [line["event"] for line in pipe.lines()] == ["yes", "yes"]

    def test_a_new_level_holds_for_loggers_that_exist(self, pipe):
        log = get_logger()
        with written(pipe) as running:
            log.debug("before")
            running.set_level("debug")
            log.debug("after")
        assert [line["event"] for line in pipe.lines()] == ["after"]


class TestLibraries:
    def test_have_their_lines_written_like_ours(self, pipe):
        with written(pipe):
            logging.getLogger("some.library").warning("odd %s", 1)
            logging.getLogger("some.library").debug("not this")
            logging.getLogger("some.library").critical("worst")
        first, second = pipe.lines()
        assert (first["event"], first["level"]) == ("odd 1", "warning")
        assert first["logger"] == "some.library"
        assert (second["event"], second["level"]) == ("worst", "error")

    def test_may_log_below_every_level(self, pipe):
        logger = logging.getLogger("some.library")
        with written(pipe, level="debug"):
            logger.handle(logger.makeRecord(logger.name, 1, "f", 1, "fine", (), None))
        assert pipe.lines()[0]["level"] == "debug"

    def test_have_their_exceptions_told(self, pipe):
        with written(pipe):
            try:
                raise ValueError("wrong")
            except ValueError:
                logging.getLogger("some.library").exception("odd")
        assert pipe.lines()[0]["exception"].endswith("ValueError: wrong")

    def test_that_log_wrongly_fail_nobody(self, pipe, monkeypatch):
        # pytest's own handlers would fail.
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        with written(pipe):
            logging.getLogger("some.library").warning("odd %d", "word")
        assert "a log call of some.library failed" in pipe.lines()[0]["event"]

    @pytest.mark.parametrize("name", ["hpack.hpack", "hpack.table", "h2.connection"])
    def test_never_tell_of_headers(self, pipe, name):
        with written(pipe, level="debug"):
            logging.getLogger(name).debug("authorization: secret")
            logging.getLogger(name).warning("odd")
        assert [line["event"] for line in pipe.lines()] == ["odd"]

    def test_have_their_warnings_written_as_lines(self, pipe):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            with written(pipe):
                warnings.warn("old", stacklevel=1)
        (line,) = pipe.lines()
        assert "UserWarning: old" in line["event"]
        assert line["logger"] == "py.warnings"

    def test_log_as_before_once_it_is_over(self, pipe):
        root, hpack = logging.getLogger(), logging.getLogger("hpack")
        before = (root.level, list(root.handlers), hpack.level)
        with written(pipe, level="debug"):
            pass
        assert (root.level, list(root.handlers), hpack.level) == before


class TestABlockedStderr:
    def test_blocks_nobody_and_the_drops_are_told_when_it_flows_again(self, pipe):
        pipe.fill()
        running = written(pipe, queue_size=10)
        log = get_logger()
        for number in range(500):
            log.info("line", number=number)
        dropped = running.statistics().dropped
        # Of 500, the queue holds 10, and the thread a batch at most that it is about to write.
        assert 500 - 10 - 100 <= dropped <= 490
        reader = threading.Thread(target=lambda: os.read(pipe.read_fd, 1 << 20))
        reader.start()
        assert running.stop(timeout_s=60)
        reader.join()
        said = pipe.lines()
        numbers = [line["number"] for line in said if line["event"] == "line"]
        assert len(numbers) == 500 - dropped
        assert numbers == sorted(numbers)
        # Told once, behind the lines that were held up: the last of all only if the thread had not
        # begun to write before the queue was full.
        (told,) = [line for line in said if line["event"] != "line"]
        assert said.index(told) > 0
        assert (told["event"], told["level"]) == ("log lines were dropped", "warning")
        assert told["dropped"] == dropped

    def test_does_not_hold_up_the_end(self, pipe):
        pipe.fill()
        running = written(pipe)
        get_logger().info("never seen")
        assert not running.stop(timeout_s=0.01)
        # Let the thread end, before its file descriptor means something else.
        os.read(pipe.read_fd, 1 << 20)
        wait_for_the_thread()

    def test_does_not_hold_up_the_end_of_a_process(self):
        read_fd, write_fd = os.pipe()
        program = (
            "import os, sys\n"
            "from trionode import logs\n"
            "running = logs.start(queue_size=100_000)\n"
            "for _ in range(20_000): logs.get_logger().info('x' * 100)\n"
            "print(running.stop(timeout_s=0.01))\n"
        )
        try:
            done = subprocess.run(
                [sys.executable, "-c", program],
                stdout=subprocess.PIPE,
                stderr=write_fd,
                timeout=60,
                check=False,
            )
        finally:
            os.close(write_fd)
            os.close(read_fd)
        assert (done.returncode, done.stdout) == (0, b"False\n")

    def test_that_is_non_blocking_is_waited_for(self, pipe, monkeypatch):
        waits = threading.Event()
        wait = select.select

        def note_and_wait(*args):
            waits.set()
            return wait(*args)

        monkeypatch.setattr(select, "select", note_and_wait)
        pipe.fill()
        os.set_blocking(pipe.write_fd, False)
        running = written(pipe)
        get_logger().info("late")
        assert waits.wait(60)
        os.read(pipe.read_fd, 1 << 20)
        assert running.stop(timeout_s=60)
        assert [line["event"] for line in pipe.lines()] == ["late"]


def wait_for_the_thread():
    for thread in threading.enumerate():
        if thread.name == "trionode-logs":
            thread.join(60)
            assert not thread.is_alive()


class TestAClosedStderr:
    def test_fails_nobody_and_what_it_did_not_take_is_counted(self):
        read_fd, write_fd = os.pipe()
        os.close(read_fd)
        running = logs.start(fd=write_fd)
        get_logger().info("lost")
        assert not running.stop()
        assert running.statistics() == logs.LogStatistics(written=0, dropped=1, waiting=0)
        os.close(write_fd)

    def test_is_not_mistaken_for_what_took_its_number(self, monkeypatch):
        monkeypatch.setattr(sys, "stderr", None)
        running = logs.start()
        get_logger().info("lost")
        assert not running.stop()
        assert running.statistics().dropped == 1

    def test_is_no_terminal(self):
        assert not logs.lines._is_terminal(1_000_000)

    def test_is_what_a_stream_without_a_descriptor_counts_as(self, monkeypatch, tmp_path):
        closed = (tmp_path / "closed").open("w")
        closed.close()
        monkeypatch.setattr(sys, "stderr", closed)
        with logs.start() as running:
            get_logger().info("lost")
        assert running.statistics().dropped == 1


class TestLinesThatCannotBeRendered:
    def test_do_not_end_the_log(self, pipe):
        class Broken:
            def __str__(self):
                raise RuntimeError

        running = written(pipe)
        running.put({"event": Broken()})
        running.put({"event": "next"})
        running.stop()
        first, second = pipe.text().splitlines()
        assert first == "a log line could not be rendered: RuntimeError"
        assert json.loads(second) == {"event": "next"}


class TestStartAndStop:
    def test_bursts_longer_than_a_batch_are_written_in_order(self, pipe):
        log = get_logger()
        with written(pipe) as running:
            for number in range(350):
                log.info("line", number=number)
        assert [line["number"] for line in pipe.lines()] == list(range(350))
        assert running.statistics() == logs.LogStatistics(written=350, dropped=0, waiting=0)

    def test_before_the_start_lines_go_to_the_standard_logger(self, caplog):
        with caplog.at_level(logging.INFO, logger="trionode"):
            get_logger(node="n1").info("hello", n=1)
            get_logger().debug("not this")
        assert caplog.record_tuples == [("trionode", logging.INFO, "hello node=n1 n=1")]

    def test_a_second_stop_does_nothing(self, pipe):
        running = written(pipe)
        assert running.stop()
        assert running.stop()

    def test_a_second_start_is_a_mistake_of_the_caller(self, pipe):
        with written(pipe), pytest.raises(AssertionError, match="started already"):
            written(pipe)

    def test_without_a_descriptor_lines_go_to_stderr(self):
        program = "from trionode import logs\nwith logs.start(): logs.get_logger().info('hello')\n"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, timeout=60, check=True
        )
        assert json.loads(done.stderr)["event"] == "hello"
        assert done.stdout == b""
