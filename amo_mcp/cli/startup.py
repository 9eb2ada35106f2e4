"""The switches that make starting cheap: clients start a server for every window, and often never call it.

Each has its figure and its end. The figures are medians of twelve starts to the answer of `tools/list`, which takes
486 ms with all of them and 650 ms with none, on two cores of a shared virtual machine (CPython 3.11, mcp 2.3.0,
pydantic 2.14): what starting without that one switch adds. `begin` comes first, `ready` before the body of any command,
so that every command runs with the garbage collector on; `serving` is for a server.
"""

import gc

_YOUNG = 3_000
"""New objects after which the collector looks at them; 700 by default.

A list of 100 segments makes some thousands of objects that die with their call: at 700 each call is
interrupted several times, at 10,000 the interruptions are rare, and so long that the 99th percentile shows them.
"""


def begin() -> None:
    """Start importing: called once, before a command is imported.

    - The collector is off (80 ms). Nothing that imports build is garbage, and it would be traversed again and again.
      Ends with `ready`.
    - Models are built when they are first used (110 ms). The SDK declares hundreds, for two revisions of the protocol
      of which a client speaks one. pydantic documents `defer_build` for a class; it is set on the base of all of them.
    - So are type adapters (60 ms: without it a start takes 0.90 of an empty server's processor time instead of 0.83,
      medians of 15). pydantic has no public switch for an adapter that somebody else makes, such as
      the SDK's of a union of models: this is the one private name in the package (`sandbox/serving.py` and
      `transports/uvicorn.py` use public ones that uvicorn does not document). Without it only starting is slower.

    Both pydantic switches end when the SDK builds its models on first use by itself, which its main branch does; the
    next release of `mcp` that has it is where these lines go.
    """
    gc.disable()
    from pydantic import BaseModel, TypeAdapter

    BaseModel.model_config["defer_build"] = True
    TypeAdapter._defer_build = True  # type: ignore[method-assign,assignment]  # noqa: SLF001


def ready() -> None:
    """Turn the collector on: everything that a command needs is imported.

    What the imports have built stays as long as the process, so it is taken out of what the collector looks at (the
    first look at all of it would take 50 ms). Nothing happens when `begin` was not called: the collector of
    whoever imports this package is their own.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def serving() -> None:
    """Collect as suits a server: called when it is built, and again when it has been warmed up.

    What it has built until then stays, and is not looked at again. The objects of a call live as long as the call, so
    the collector looks for new garbage less often than by default.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG)
