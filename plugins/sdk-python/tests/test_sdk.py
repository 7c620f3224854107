"""R8.5: the SDK under plain Python: `python3 -m unittest discover tests`."""

import enum
import importlib
import math
import sys
import types
import unittest
import unittest.mock
from dataclasses import dataclass, field
from typing import Any, Literal

from bandstand import (
    Call,
    Choice,
    HostError,
    HttpError,
    Permanent,
    Reply,
    Review,
    agent,
    fake,
    http,
    log,
    memory,
    model,
    progress,
    tools,
)
from bandstand.memory.facts import Fact
from bandstand.shape import Misfit, fit


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Part:
    name: str
    size: float = 1.0


@dataclass
class Order:
    parts: list[Part]
    paid: bool
    colour: Colour | None = None
    kind: Literal["a", "b"] = "a"
    notes: dict[str, int] = field(default_factory=dict)
    rest: Any = None


class Input(unittest.TestCase):
    def test_json_becomes_what_is_declared(self):
        order = fit({"parts": [{"name": "x", "size": 2}], "paid": True, "colour": "red", "notes": {"n": 1}, "more": 0}, Order)
        self.assertEqual(order, Order([Part("x", 2.0)], True, Colour.RED, "a", {"n": 1}))

    def test_a_misfit_says_where(self):
        for value, told in (
            ({"paid": True}, "`parts` is missing"),
            ({"parts": [{"name": 1}], "paid": True}, "/parts/0/name: expected text, found 1"),
            ({"parts": [], "paid": 1}, "/paid: expected true or false, found 1"),
            ({"parts": [], "paid": True, "kind": "c"}, '/kind: expected "a" or "b", found "c"'),
            ({"parts": [], "paid": True, "colour": "blue"}, '/colour: expected "red", found "blue"'),
            ({"parts": [], "paid": True, "notes": {"n": True}}, "/notes/n: expected a whole number, found true"),
            ([], "expected an object, found a list"),
        ):
            with self.assertRaises(Misfit) as raised:
                fit(value, Order)
            self.assertEqual(str(raised.exception), told)

    def test_the_call_is_given_to_those_who_take_it(self):
        @agent
        def run(input: dict, call: Call) -> dict:
            return {"attempt": call.attempt, "random": call.random().random(), "input": input}

        first = run.answer(Call('{"a":1}', attempt=2)).output
        self.assertEqual((first["attempt"], first["input"]), (2, {"a": 1}))
        self.assertEqual(first, run.answer(Call('{"a":1}', attempt=2)).output)
        self.assertEqual(run({}, Call())["input"], {})


class Output(unittest.TestCase):
    def test_only_objects_are_outputs(self):
        for output in ([1], "text", {"a": math.nan}, {"a": object()}):
            with self.assertRaises(Permanent) as raised:
                Reply(output).output_json()
            self.assertEqual(raised.exception.code, "output-invalid")
        self.assertEqual(Reply(Part("x")).output_json(), '{"name":"x","size":1.0}')

    def test_a_reply_goes_one_way(self):
        with self.assertRaises(ValueError):
            Reply({}, goto="a", review=Review("t", "r"))
        self.assertEqual(Reply({}, choose={"a": 2, "b": -1}).choose, [Choice("a", 1.0), Choice("b", 0.0)])
        self.assertEqual(Reply({}, confidence=math.nan).confidence, 0.0)


class Host(unittest.TestCase):
    def setUp(self):
        fake.reset()

    def test_lines_and_signs(self):
        log.warn("careful", at=3, what=object)
        progress.at(0.5, "half")
        progress.doing("more")
        progress.chunk("word ")
        self.assertTrue(fake.logged()[0].startswith('warn careful {"at":"3"'))
        self.assertEqual(fake.shown(), ["0.50 half", "more", "word "])

    def test_memory(self):
        fake.speak_for("t", "u")
        id = memory.audit.append("clause-flagged", {"clause": 7}, ["risk"])
        self.assertEqual(memory.audit.snapshot(10)[0].id, id)
        memory.facts.put(Fact("Bees make honey", tags=["bee"]), Fact("bees make HONEY"), Fact("Ants do not"))
        hits = memory.facts.search("honey", tags=["bee"])
        self.assertEqual((hits[0].fact.text, hits[0].fact.user_id), ("Bees make honey", "u"))
        self.assertEqual(memory.facts.consolidate(), 1)
        self.assertEqual(len(memory.facts.reflect(id)), 1)
        memory.slots.set("persona", {"tone": "dry"})
        self.assertEqual((memory.slots.get("persona"), memory.slots.names()), ({"tone": "dry"}, ["persona"]))
        memory.slots.set("persona", None)
        self.assertIsNone(memory.slots.get("persona"))
        with self.assertRaises(HostError) as raised:
            memory.facts.forget("fact-99")
        self.assertEqual(raised.exception.failure().kind, "permanent")
        fake.deny_memory()
        with self.assertRaises(HostError) as raised:
            memory.slots.get("persona")
        self.assertEqual(raised.exception.kind, "denied")

    def test_models_and_tools(self):
        fake.tool("price", lambda args: {"of": args["item"], "price": 42})
        fake.answer_with(
            model.Response(tool_calls=[model.ToolCall("1", "price", {"item": "lamp"})]),
            "It costs 42.",
            HostError("unavailable", "busy", "later", 10),
        )
        talk = [model.system("Be brief."), model.user("What does a lamp cost?")]
        response = model.chat(talk, tools=tools.granted(), model="small")
        talk.append(response.message())
        for asked in response.tool_calls:
            talk.append(model.tool(asked.id, tools.call(asked.name, asked.args)))
        pieces = list(model.stream(talk))
        self.assertEqual("".join(pieces[:-1]), pieces[-1].text)
        self.assertEqual([len(each.messages) for each in fake.asked()], [2, 4])
        with self.assertRaises(HostError) as raised:
            model.chat("again")
        self.assertEqual(raised.exception.failure().retry_after_ms, 10)
        self.assertEqual(tools.call("price", item="cup")["of"], "cup")
        self.assertNotEqual(*model.embed(["a", "b"]))

    # R7.2
    def test_http(self):
        sent = []

        def answer(request):
            sent.append(request)
            return http.Response(503, [("retry-after", "1")], '{"why":"busy \u00e9"}'.encode())

        fake.answer_http(answer)
        options = {"headers": {"authorization": "Bearer {secret:KEY}"}, "body": "caf\u00e9", "timeout_ms": 500}
        response = http.request("post", "https://a.example/x?y=1#z", **options)
        self.assertEqual((response.status, response.header("Retry-After"), response.json()), (503, "1", {"why": "busy \u00e9"}))
        with self.assertRaises(HttpError) as raised:
            http.Response(status=502, body=b"<html>").json()
        self.assertEqual(raised.exception.failure().code, "response-not-json")
        self.assertIn("of status 502", raised.exception.message)
        expected = [("authorization", "Bearer {secret:KEY}")], b"caf\xc3\xa9", 500, 1 << 20
        self.assertEqual(sent, [http.Request("POST", "https://a.example/x?y=1#z", *expected)])
        self.assertEqual(http.Response(body=b"a\xffb").text(), "a\ufffdb")
        fake.reset()
        with self.assertRaises(HttpError) as raised:
            http.get("https://a.example")
        self.assertEqual((raised.exception.code, raised.exception.failure().kind), ("http-request-denied", "permanent"))
        self.assertEqual(HttpError("connection-refused", "no", True).failure().kind, "recoverable")

    def test_a_url_is_taken_apart(self):
        for url, *expected in (
            ("https://a.example", True, "a.example", "/"),
            ("HTTP://a.example:8080/b?c=d#e", False, "a.example:8080", "/b?c=d"),
            ("https://a.example?q=//x", True, "a.example", "/?q=//x"),
            ("https://a.example/@b", True, "a.example", "/@b"),
            ("http://[::1]:81/x", False, "[::1]:81", "/x"),
        ):
            self.assertEqual(http.take_apart(url), tuple(expected), url)
        for url, part in (
            ("a.example", "begins with"),
            ("ftp://a.example", "only `https`"),
            ("https:///x", "no host"),
            ("https://me:word@a.example", "into a header"),
            ("https://a.example/a b", "encode"),
            ("https://a.example\\@b.example", "backslashes"),
            ("https://a.example/\ud800", "half of a character"),
        ):
            with self.assertRaises(HttpError) as raised:
                http.get(url)
            self.assertEqual(raised.exception.code, "url-invalid")
            self.assertIn(part, raised.exception.message)
            # It goes to the host where nobody catches the error.
            raised.exception.message.encode()

    # As in Rust and JavaScript: what Unicode calls white space.
    def test_spaces_in_a_url_are_those_of_unicode(self):
        refused = []
        for point in range(0xD800):
            try:
                http.take_apart(f"https://a.example/{chr(point)}")
            except HttpError:
                refused.append(point)
        spaces = [*range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
        self.assertEqual(refused, [*range(0x21), 0x5C, *range(0x7F, 0xA1), 0x1680, *spaces])
        self.assertEqual(http.take_apart("https://a.example/\ufeff").path_and_query, "/\ufeff")


class Wasi:
    """The bindings that a request needs. All that is taken of them is in `open`; what they cannot be called with, a trap in
    the sandbox, fails an assertion. At `refused` they refuse."""

    def __init__(self, refused=""):
        self.open = set()
        wasi = self

        class Err(Exception):
            def __init__(self, value):
                super().__init__(value)
                self.value = value

        class Value:
            def __init__(self, value=None):
                self.value = value

        class Handle:
            def __init__(self):
                wasi.open.add(self)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                give(self)

        def give(handle):
            if handle is not None:
                wasi.open.remove(handle)

        def refusing(what, value=None):
            if what == refused:
                raise Err(value() if value else case("HeaderError_Forbidden")())

        def case(name):
            return type(name, (Value,), {})

        def text(given):
            assert isinstance(given, str)
            given.encode()

        def span(given):
            assert type(given) is int and 0 <= given < 2**64, given
            refusing("timeout")

        failed = case("StreamError_LastOperationFailed")

        def broken():
            return failed(Debug())

        class Debug(Handle):
            def to_debug_string(self):
                return "reset\nat .."

        class Fields(Handle):
            def append(self, name, value):
                text(name)
                assert isinstance(value, bytes)
                refusing("header")

            def set(self, name, value):
                pass

            def entries(self):
                return [("x", b"y")]

        class Output(Handle):
            def blocking_write_and_flush(self, piece):
                assert isinstance(piece, bytes)
                refusing("write", broken)

        class OutgoingBody(Handle):
            def write(self):
                return Output()

            @staticmethod
            def finish(body, trailers):
                give(body)

        class OutgoingRequest(Handle):
            def __init__(self, fields):
                super().__init__()
                give(fields)

            def set_method(self, method):
                refusing("method")

            def set_scheme(self, scheme):
                pass

            def set_authority(self, authority):
                text(authority)
                refusing("host")

            def set_path_with_query(self, path):
                text(path)

            def body(self):
                refusing("body")
                return OutgoingBody()

        class RequestOptions(Handle):
            def set_connect_timeout(self, nanos):
                span(nanos)

            set_first_byte_timeout = set_between_bytes_timeout = set_connect_timeout

        closed = case("StreamError_Closed")

        class Input(Handle):
            def blocking_read(self, size):
                refusing("read", broken)
                raise Err(closed())

        class IncomingBody(Handle):
            def stream(self):
                return Input()

        class Incoming(Handle):
            def headers(self):
                return Fields()

            def status(self):
                return 200

            def consume(self):
                return IncomingBody()

        class Ready(Handle):
            def block(self):
                pass

        class Ok(Value):
            pass

        class Future(Handle):
            def subscribe(self):
                return Ready()

            def get(self):
                return Ok(Err(case("ErrorCode_DnsTimeout")()) if refused == "response" else Ok(Incoming()))

        def handle(outgoing, options):
            give(outgoing)
            give(options)
            refusing("handle", case("ErrorCode_HttpRequestDenied"))
            return Future()

        names = {
            "componentize_py_types": {"Err": Err, "Ok": Ok},
            "wit_world": {},
            "wit_world.imports": {
                "host_http_types": types.SimpleNamespace(
                    Fields=Fields,
                    Method_Other=Value,
                    Method_Post=Value,
                    OutgoingBody=OutgoingBody,
                    OutgoingRequest=OutgoingRequest,
                    RequestOptions=RequestOptions,
                    Scheme_Http=Value,
                    Scheme_Https=Value,
                    http_error_code=lambda cause: None,
                ),
                "outgoing_handler": types.SimpleNamespace(handle=handle),
                "streams": types.SimpleNamespace(StreamError_Closed=closed, StreamError_LastOperationFailed=failed),
            },
        }
        modules = {name: types.ModuleType(name) for name in names}
        for name, module in modules.items():
            vars(module).update(names[name])
        with unittest.mock.patch.dict(sys.modules, modules):
            sys.modules.pop("bandstand._wasm_http", None)
            self.send = importlib.import_module("bandstand._wasm_http").send


class Requests(unittest.TestCase):
    def setUp(self):
        fake.reset()

    # R8.5
    def test_half_of_a_character_is_no_trap(self):
        with self.assertRaises(Permanent) as raised:
            Reply({"a": "\ud800"}).output_json()
        self.assertEqual(raised.exception.code, "output-invalid")
        log.info("said", a="b\ud800")
        self.assertEqual(fake.logged(), ['info said {"a":"b?"}'])
        said = []
        border = types.SimpleNamespace
        take = lambda *given: said.extend(given)  # noqa: E731
        modules = {
            "componentize_py_types": border(Err=Exception),
            "wit_world": border(),
            "wit_world.imports": border(
                types=border(FailureKind={"PERMANENT": "permanent"}, Failure=lambda kind, code, message, *_: take(code, message))
            ),
            "wit_world.imports.log": border(Level={"INFO": "info"}, last_words=take, write=take),
            "wit_world.imports.progress": border(chunk=take, report=take),
        }
        with unittest.mock.patch.dict(sys.modules, modules):
            sys.modules.pop("bandstand._wasm", None)
            wasm = importlib.import_module("bandstand._wasm")
        # No interface was given, so none can be called, and no other attempt would find one.
        for call in (lambda: wasm._slots.get, lambda: wasm._model.chat):
            with self.assertRaises(HostError) as absent:
                call()
            self.assertEqual(absent.exception.failure().code, "interface-missing")
        wasm.last_words("a\ud800", "b\ud800")
        wasm.log_write("info", "c\ud800", "")
        wasm.progress_chunk("d\ud800")
        wasm.progress_report(0.5, "e\ud800")
        wasm.raw_failure(Permanent("f\ud800", "g\ud800"))
        texts = [each for each in said if isinstance(each, str)]
        self.assertEqual(texts, ["a?", "b?", "info", "c?", "", "d?", "e?", "f?", "g?"])

    # R7.2
    def test_whatever_is_refused_all_is_given_back_to_the_host(self):
        kept = []
        for refused, code in (
            ("header", "header-refused"),
            ("method", "http-request-uri-invalid"),
            ("host", "http-request-uri-invalid"),
            ("body", "internal-error"),
            ("timeout", "internal-error"),
            ("handle", "http-request-denied"),
            ("response", "dns-timeout"),
            ("read", "connection-terminated"),
            ("write", None),
            ("nothing", None),
        ):
            wasi = Wasi(refused)
            fake.answer_http(wasi.send)
            try:
                response = http.post("https://a.example", "x", headers={"a": "b"}, timeout_ms=1)
                self.assertEqual((response.header("x"), code), ("y", None), refused)
            except HttpError as error:
                self.assertEqual(error.code, code, refused)
                # With it the frames of its traceback.
                kept.append(error)
            self.assertEqual(wasi.open, set(), refused)

    def ask(self, url="https://a.example", method="POST", **options):
        sent = []

        def answer(request):
            sent.append(request)
            return Wasi().send(request)

        fake.answer_http(answer)
        http.request(method, url, **options)
        return sent[0]

    # R7.2: what cannot cross to the host is an error at the author's line, since it would be a trap there.
    def test_a_request_is_checked_before_it_goes_to_the_host(self):
        for given, expected in ((None, None), (math.inf, None), (0, 0), (0.2, 1), (0.5 * 1000, 500), (2e13, 18_446_744_073_709)):
            found = self.ask(timeout_ms=given).timeout_ms
            self.assertEqual((found, type(found)), (expected, type(expected)))
        for given, expected in ((None, 1 << 20), (math.inf, math.inf), (0, 0), (1 << 80, 1 << 80)):
            self.assertEqual(self.ask(response_bytes_max=given).response_bytes_max, expected)
        for name in ("timeout_ms", "response_bytes_max"):
            for wrong in (-1, math.nan, -math.inf):
                with self.assertRaisesRegex(ValueError, f"`{name}` is 0 or more, not {wrong}"):
                    self.ask(**{name: wrong})
            with self.assertRaisesRegex(TypeError, f"`{name}` is a number, not str"):
                self.ask(**{name: "5"})
        for body in (b"ab", bytearray(b"ab"), memoryview(b"ab"), "ab"):
            sent = self.ask(body=body).body
            self.assertEqual((sent, type(sent)), (b"ab", bytes))
        for body in ([1, 2], 3, {}):
            with self.assertRaisesRegex(TypeError, "a body is a text or bytes, not"):
                self.ask(body=body)
        for headers in ({"a": "b", "c": 1}, [("a", "b"), ("c", 1)]):
            self.assertEqual(self.ask(headers=headers).headers, [("a", "b"), ("c", "1")])
        for headers in ({"a": b"b"}, {b"a": "b"}, {"a": None}, {"a": ["b"]}):
            with self.assertRaisesRegex(TypeError, "is a text, not"):
                self.ask(headers=headers)
        for headers in ({"a\ud800": "b"}, {"a": "\udc00b"}):
            with self.assertRaises(HttpError) as raised:
                self.ask(headers=headers)
            self.assertEqual(raised.exception.code, "header-refused")
            raised.exception.message.encode()
        with self.assertRaises(HttpError) as raised:
            self.ask(method="\ud800")
        self.assertEqual(raised.exception.code, "http-request-uri-invalid")


if __name__ == "__main__":
    unittest.main()
