"""The component's entry, which authors never see: it brings the call to the agent of module `agent` and its answer back.
An exception that is no failure is a crash: its text and traceback become the attempt's last words, then it goes on to the
runtime, which traps. It is never made a failure: whether a crash is tried again is the host's to say."""

import random
import traceback

from bandstand import Call, Failure, HostError, HttpError, _wasm
from bandstand.call import Agent
from componentize_py_types import Err
from wit_world import exports

import agent as module


def _agent() -> Agent:
    found = [each for each in vars(module).values() if isinstance(each, Agent)]
    if len(found) != 1:
        raise TypeError(f"the module `agent` must have one function with the decorator `@agent`; it has {len(found)}")
    return found[0]


_AGENT = _agent()


def _call(raw) -> Call:
    members = dict(vars(raw))
    return Call(input_json=members.pop("input"), context_json=members.pop("context"), **members)


class Node(exports.Node):
    """The exported interface."""

    def run(self, call):
        """One attempt."""
        # Else its state would be that of the build, the same in every attempt.
        random.seed(call.seed)
        try:
            return _wasm.raw_reply(_AGENT.answer(_call(call)))
        except Failure as failure:
            raise Err(_wasm.raw_failure(failure)) from None
        except (HostError, HttpError) as error:
            raise Err(_wasm.raw_failure(error.failure())) from None
        except BaseException as error:
            _wasm.last_words(f"{type(error).__name__}: {error}", traceback.format_exc())
            raise
