"""R8.5: the SDK under plain Python: `python3 -m unittest discover tests`."""

import enum
import math
import unittest
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
        ):
            with self.assertRaises(HttpError) as raised:
                http.get(url)
            self.assertEqual(raised.exception.code, "url-invalid")
            self.assertIn(part, raised.exception.message)


if __name__ == "__main__":
    unittest.main()
