"""`powers`: asks the host for what its input names. What there is stands in `../README.md`."""

from dataclasses import dataclass, field
from typing import Any

from bandstand import Permanent, agent, http, memory, model, tools
from bandstand.memory.facts import Fact


@dataclass
class Input:
    do: str
    name: str = ""
    args: dict = field(default_factory=dict)
    url: str = ""
    method: str = "GET"
    body: str | None = None
    limit: int = 1 << 20


@agent
def run(input: Input) -> dict[str, Any]:
    match input.do:
        case "nothing":
            return {}
        case "slot":
            memory.slots.set("persona", {"tone": "dry"})
            kept = memory.slots.get("persona")
            memory.slots.set("persona", None)
            return {"kept": kept, "emptied": memory.slots.get("persona") is None}
        case "slot-names":
            memory.slots.set("b", 1)
            memory.slots.set("a", "one")
            return {"names": memory.slots.names()}
        case "facts":
            memory.facts.put(Fact("Bees make honey"), Fact("Ants do not"))
            return {"found": [hit.fact.text for hit in memory.facts.search("honey", limit=5)]}
        case "audit":
            memory.audit.append("noted", {"n": 1})
            return {"appended": True}
        case "audit-read":
            memory.audit.append("flagged", {"clause": 7}, ["risk"])
            [last] = memory.audit.snapshot(1)
            return {"last": {"action": last.action, "payload": last.payload, "tags": last.tags}}
        case "model":
            return {"text": model.chat([model.system("Be brief."), model.user("Greet me.")], model="small").text}
        case "model-stream":
            *pieces, response = model.stream("Go on.", model="small")
            return {"said": "".join(pieces), "text": response.text}
        case "model-tools":
            return model_tools()
        case "embed":
            return {"vectors": model.embed(["a", "b"], model="small")}
        case "tool":
            return {"gave": tools.call(input.name, input.args)}
        case "tool-names":
            return {"names": [tool.name for tool in tools.granted()]}
        case "http":
            headers = {"x-asked-by": "Bearer {secret:KEY}"}
            options = {"body": input.body, "timeout_ms": 5_000, "response_bytes_max": input.limit}
            response = http.request(input.method, input.url, headers=headers, **options)
            return {"status": response.status, "type": response.header("content-type"), "text": response.text()}
    raise Permanent("not-covered", f"there is no `{input.do}`")


def model_tools() -> dict[str, Any]:
    talk = [model.user("Ask the tool.")]
    options = {"tools": tools.granted(), "model": "small"}
    response = model.chat(talk, **options)
    talk.append(response.message())
    for asked in response.tool_calls:
        talk.append(model.tool(asked.id, tools.call(asked.name, asked.args)))
    return {"text": model.chat(talk, **options).text}
