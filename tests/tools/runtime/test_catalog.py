"""The catalog of tools: listed from a file, declared in modules that are imported with the first call."""

import json
import subprocess
import sys
from importlib import import_module

from mcp_types import Tool, ToolAnnotations

from amo_mcp.tools.runtime.catalog import MODULES, CatalogEntry, catalog
from amo_mcp.tools.runtime.tool import CREATE, DESTRUCTIVE, READ
from tests.tools.runtime.declared import add_numbers, entry


def test_the_catalog_has_every_declared_tool_in_the_order_of_the_modules() -> None:
    declared = [(f"amo_mcp.tools.{name}", import_module(f"amo_mcp.tools.{name}").TOOLS) for name in MODULES]
    expected = [(definition.name, module) for module, tools in declared for definition in tools]
    assert [(name, item.module) for name, item in catalog().items()] == expected


def test_every_entry_leads_to_its_declaration() -> None:
    for name, item in catalog().items():
        definition = item.definition
        assert (definition.name, definition.title, definition.description, definition.annotations) == (
            name,
            item.listed.title,
            item.listed.description,
            item.listed.annotations,
        )
        item.prepare()
        assert definition.output.__pydantic_complete__


def test_only_a_tool_that_says_that_it_reads_does_not_write() -> None:
    def writes(annotations: ToolAnnotations | None) -> bool:
        return CatalogEntry("module", Tool(name="tool", input_schema={}, annotations=annotations)).writes

    assert [writes(item) for item in (READ, CREATE, DESTRUCTIVE, ToolAnnotations(), None)] == [
        False,
        True,
        True,
        True,
        True,
    ]


def test_an_entry_finds_a_tool_by_the_name_of_its_function() -> None:
    assert entry(add_numbers).definition is add_numbers


def test_reading_the_catalog_imports_no_module_that_declares_tools() -> None:
    code = (
        "import json, sys\n"
        "from amo_mcp.tools.runtime.catalog import MODULES, catalog\n"
        "assert len(catalog()) == 20\n"
        "print(json.dumps([name for name in MODULES if f'amo_mcp.tools.{name}' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == []
