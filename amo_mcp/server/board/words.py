"""The words of the board, in a person's language, as its script takes them."""

from amo_mcp.language import Message, Texts, counted_message

_FORMS = {"one": 1, "few": 2, "many": 5, "other": 5}
"""The plural categories (CLDR) that our languages have for whole numbers, and a number of each."""


def words(texts: Texts) -> dict[str, str | dict[str, str]]:
    """Every text of the board, by its name in the script.

    A text that counts is one for each plural category; `{count}` and other placeholders are filled in by the script.
    """
    return {
        "views": texts("Views"),
        "segments": texts("Segments"),
        "statuses": texts("Statuses"),
        "findings": texts("Findings"),
        "plan": texts("Plan"),
        "applied": texts("Applied"),
        "stopped": texts("Stopped part-way"),
        "asked": texts("Waiting for your answer"),
        "changes": texts("Changes"),
        "no_name": texts("(no visible name)"),
        "of_limit": texts("{total} of {limit}", total="{total}", limit="{limit}"),
        "customers": _counted(texts, counted_message("{count} customer", "{count} customers", 1)),
        "shown": _counted(texts, counted_message("{count} segment shown", "{count} segments shown", 1)),
        "picked": _counted(texts, counted_message("{count} segment selected", "{count} segments selected", 1)),
        "found": _counted(texts, counted_message("{count} finding", "{count} findings", 1)),
        "planned": _counted(texts, counted_message("{count} change", "{count} changes", 1)),
        "made": _counted(texts, counted_message("{count} change made", "{count} changes made", 1)),
        "affected": _counted(
            texts, counted_message("It affects {count} customer.", "It affects {count} customers.", 1)
        ),
        "unreadable": _counted(
            texts, counted_message("{count} entry could not be read.", "{count} entries could not be read.", 1)
        ),
        "search": texts("Search"),
        "sort": texts("Sort by"),
        "by_customers": texts("customers"),
        "by_name": texts("name"),
        "by_age": texts("last change"),
        "filter": texts("Finding"),
        "all": texts("all"),
        "system": texts("system status"),
        "cut": texts("The list was cut: there are more segments."),
        "older": texts("There are older changes."),
        "nothing": texts("There is nothing to show."),
        "nothing_found": texts("Nothing to tidy up was found."),
        "nothing_changed": texts("Nothing was changed through this server yet."),
        "was": texts("was"),
        "will_be": texts("will be"),
        "until": texts("Good until {moment}.", moment="{moment}"),
        "asks_first": texts("A person is asked before anything is changed."),
        "refresh": texts("Refresh"),
        "refreshed": texts("Up to date."),
        "check": texts("Find what to tidy up"),
        "plan_picked": texts("Ask for a plan"),
        "plan_findings": texts("Ask for a plan of the selected"),
        "apply": texts("Ask to apply the plan"),
        "undo": texts("Ask to undo it"),
        "open_page": texts("Open the page to answer"),
        "sent": texts("The assistant was asked."),
        "not_sent": texts("The assistant could not be asked from here."),
        "not_opened": texts("The page could not be opened from here."),
        "gone": texts("The server has ended. Start it again with: amo-mcp board"),
        "say_plan": texts("Plan changes of these segments, and ask me first what to change: ids {ids}", ids="{ids}"),
        "say_findings": texts(
            "Plan the changes that audit_segments suggests for these findings, and show me the plan: {findings}",
            findings="{findings}",
        ),
        "say_apply": texts("Apply the plan {plan_id}", plan_id="{plan_id}"),
        "say_undo": texts("Undo the change {change_id}", change_id="{change_id}"),
        "problems": problems(texts),
        "confidence": {"high": texts("certain"), "medium": texts("likely"), "low": texts("possible")},
        "outcomes": {
            "planned": texts("not begun"),
            "pending": texts("under way"),
            "running": texts("under way"),
            "done": texts("done"),
            "failed": texts("not done"),
            "interrupted": texts("stopped part-way"),
            "unknown": texts("not known whether it was made"),
            "undone": texts("undone"),
        },
    }


def problems(texts: Texts) -> dict[str, str]:
    """What an audit finds, by the names in its answer."""
    return {
        "near_duplicate_names": texts("nearly the same name"),
        "empty_segment": texts("no customers"),
        "color_clash": texts("same colour"),
        "naming_drift": texts("named unlike the others"),
        "unused_field": texts("field not used"),
        "sort_gaps": texts("gaps in the order"),
        "unused_colors": texts("colours not used"),
        "limit_close": texts("limit nearly reached"),
    }


def _counted(texts: Texts, counted: Message) -> dict[str, str]:
    return {
        form: texts.plural(counted.text, counted.many, count).replace(str(count), "{count}")
        for form, count in _FORMS.items()
    }
