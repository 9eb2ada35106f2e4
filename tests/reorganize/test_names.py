"""Names of segments that are one name, may be one, or are not: 120 pairs, and what holds for all others."""

import unicodedata
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.reorganize.audit import Finding, audit_segments, audit_statuses
from amo_mcp.reorganize.names import reduced

NFD: Final = "NFD"

ONE_NAME = [
    ("VIP", "vip"),
    ("Новые  клиенты", " Новые клиенты "),
    ("Новые\u00a0клиенты", "новые клиенты"),
    ("Оптовики", "Oптовики"),
    ("Группа А", "Группа A"),
    ("СРМ-лиды", "CPM-лиды"),
    ("Нью-Йорк", "Нью Йорк"),
    ("E-mail рассылка", "Email рассылка"),
    ("Постоянные_клиенты", "Постоянные клиенты"),
    ("Тёплые лиды", "Теплые лиды"),
    ("Мой город", unicodedata.normalize(NFD, "Мой город")),
    ("São Paulo", unicodedata.normalize(NFD, "São Paulo")),
    ("Café de autor", unicodedata.normalize(NFD, "CAFÉ DE AUTOR")),
    ("Возраст 18–25", "Возраст 18 - 25"),
    ("B2B", "b2b"),
    ("VIP-1", "VIP 1"),
    ("Не активные", "Неактивные"),
    ("ＶＩＰ", "VIP"),
    ("Ново\u00adсёлы", "Новосёлы"),
    ("O'Brien & Co", "O’Brien & Co"),
    ("Wholesale", "WHOLE-SALE"),
    ("Long-term clients", "Long term clients"),
    ("Años 2024", unicodedata.normalize(NFD, "AÑOS 2024")),
    ("Pós-venda", "Pós venda"),
    ("Скидка 10 %", "Скидка 10%"),
    ("Оплата > 5000", "оплата >5000"),
]
"""Twins that differ in nothing but how they are written: one of them may be deleted."""

MAY_BE_ONE = [
    ("Клиент", "Клиенты"),
    ("Постоянный покупатель", "Постоянные покупатели"),
    ("Покупка в рассрочку", "Покупки в рассрочку"),
    ("Постоянные клиенты", "Постояные клиенты"),
    ("Корпоративные клиенты", "Корпаративные клиенты"),
    ("Подписчики рассылки", "Подпищики рассылки"),
    ("Потенциальные", "Потенциалные"),
    ("Клиенты новые", "Новые клиенты"),
    ("90 дней спящие", "Спящие 90 дней"),
    ("С покупками клиенты", "Клиенты с покупками"),
    ("VIP клиенты", "ВИП-клиенты"),
    ("Postoyannye", "Постоянные"),
    ("☕ Новички", "Новички"),
    ("Новички 🎉", "Новичок"),
    ("VIP клиенты!", "VIP клиенты"),
    ("Компании (Москва)", "Компании Москва"),
    ("ООО «Ромашка»", "ООО Ромашка"),
    ("Пост. клиенты", "Постоянные клиенты"),
    ("Опт и розница", "Опт, розница"),
    ("Оборот > 10 000", "Оборот > 10000"),
    ("Client", "Clients"),
    ("Company accounts", "Companies accounts"),
    ("Loyal customers", "Customers loyal"),
    ("Wholesale buyers", "Wholsale buyers"),
    ("Subscribers", "Subscirbers"),
    ("Corp. accounts", "Corporate accounts"),
    ("Tea & coffee", "Tea and coffee"),
    ("Café", "Cafe"),
    ("Clientes nuevos", "Nuevos clientes"),
    ("Cliente fiel", "Clientes fieles"),
    ("Compradores", "Comprador"),
    ("Promoción", "Promociones"),
    ("Suscriptores", "Suscritpores"),
]
"""Twins that need a person's look."""

TRAPS = [
    ("Активные", "Неактивные"),
    ("Платящие", "Не платящие"),
    ("Нормированные", "Ненормированные"),
    ("Купили", "Не купили"),
    ("С покупками", "Без покупок"),
    ("Подписанные", "Отписанные"),
    ("VIP", "VIP+"),
    ("VIP", "VIP²"),
    ("18-25", "25-18"),
    ("18 25", "1825"),
    ("Возраст 18+", "Возраст 18"),
    ("Оборот >5000", "Оборот <5000"),
    ("Скидка 1.5", "Скидка 15"),
    ("Спящие 30 дней", "Спящие 90 дней"),
    ("Акция 2023", "Акция 2024"),
    ("Купили 2 раза за 30 дней", "Купили 30 раз за 2 дня"),
    ("До 30 дней", "После 30 дней"),
    ("Из лидов в клиенты", "Из клиентов в лиды"),
    ("Группа А", "Группа Б"),
    ("Москва", "Роскошь"),
    ("Самара", "Самарканд"),
    ("Новосибирск", "Новороссийск"),
    ("Опт", "Опыт"),
    ("Мужчины", "Женщины"),
    ("Холодные", "Голодные"),
    ("🟢 Активные", "🔴 Активные"),
    ("Выиграно", "Проиграно"),
    ("Скидка 10%", "Скидка 10"),
    ("new", "not new"),
    ("Active", "Inactive"),
    ("Subscribed", "Unsubscribed"),
    ("Paid", "Unpaid"),
    ("With orders", "Without orders"),
    ("Before renewal", "After renewal"),
    ("Tier II", "Tier III"),
    ("Grade A-", "Grade A"),
    ("Grade A+", "Grade A-"),
    ("B2B", "B2C"),
    ("Q1 leads", "Q2 leads"),
    ("Premium", "Premium Plus"),
    ("Cold leads", "Gold leads"),
    ("C++", "C#"),
    ("From lead to client", "From client to lead"),
    ("Con compras", "Sin compras"),
    ("Activos", "Inactivos"),
    ("Contactados", "No contactados"),
    ("Niños", "Niñas"),
    ("Compradores", "Compradoras"),
    ("Junio", "Julio"),
    ("Antes de la compra", "Después de la compra"),
    ("Com compras", "Sem compras"),
    ("Ativos", "Inativos"),
    ("Clientes de junho", "Clientes de julho"),
    ("Pagos", "Não pagos"),
    ("Alunos", "Alunas"),
    ("Até 30 dias", "Mais de 30 dias"),
    ("Lote 1/2", "Lote 1-2"),
    ("Не активные, новые", "Активные, не новые"),
    ("Etapa -1", "Etapa 1"),
    ("№1", "#1"),
]
"""Names that are near to one another and mean different things."""

TWINS = [*ONE_NAME, *MAY_BE_ONE, ("Jovem", "Jovens")]


def segments(*names: str, counts: tuple[int, ...] = (3, 0)) -> list[Segment]:
    """Segments of these names, whose ids are 1, 2, …; the first one has customers."""
    return [
        Segment(id=number, name=name, customers_count=counts[min(number, len(counts)) - 1])
        for number, name in enumerate(names, 1)
    ]


def near(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.problem == "near_duplicate_names"]


def deletions(findings: list[Finding]) -> list[Any]:
    return [change["id"] for finding in near(findings) for change in finding.suggested_changes]


def test_there_are_120_pairs_half_of_them_twins_and_none_twice() -> None:
    pairs = {frozenset(pair) for pair in (*TWINS, *TRAPS)}
    assert (len(TWINS), len(TRAPS), len(pairs)) == (60, 60, 120)


@pytest.mark.requirement("TOOL-23")
def test_of_the_twins_at_least_95_in_100_are_found() -> None:
    missed = [pair for pair in TWINS if not near(audit_segments(segments(*pair), []))]
    assert len(missed) <= len(TWINS) * 0.05, missed


@pytest.mark.requirement("TOOL-23")
@pytest.mark.parametrize("pair", TRAPS, ids=" | ".join)
def test_names_that_mean_different_things_are_not_said_to_be_near(pair: tuple[str, str]) -> None:
    assert near(audit_segments(segments(*pair), [])) == []
    assert near(audit_statuses([Status(id=number, name=name) for number, name in enumerate(pair)])) == []


@pytest.mark.requirement("TOOL-23")
@pytest.mark.parametrize("pair", ONE_NAME, ids=" | ".join)
def test_of_two_writings_of_one_name_the_empty_one_is_offered_for_deletion(pair: tuple[str, str]) -> None:
    [finding] = near(audit_segments(segments(*pair), []))
    assert (finding.ids, finding.confidence) == ((1, 2), "high")
    assert finding.suggested_changes == ({"action": "delete", "kind": "segment", "id": 2},)


@pytest.mark.requirement("TOOL-23")
@pytest.mark.parametrize("pair", MAY_BE_ONE, ids=" | ".join)
def test_names_that_read_alike_are_told_and_none_is_offered_for_deletion(pair: tuple[str, str]) -> None:
    for found in (
        audit_segments(segments(*pair), []),
        audit_statuses([Status(id=number, name=name) for number, name in enumerate(pair, 1)]),
    ):
        [finding] = near(found)
        assert (finding.ids, finding.confidence, finding.suggested_changes) == ((1, 2), "medium", ())


def test_several_words_may_be_mistyped_and_in_another_script() -> None:
    pair = ("Клиенты вечерние", "Vechernnie kliienty")
    assert [finding.ids for finding in near(audit_segments(segments(*pair), []))] == [(1, 2)]


def test_likeness_goes_no_further_than_from_one_to_the_next() -> None:
    chain = ["Постоянный", "Постоянныe клиентки", "Растущие", "Москва", "Мосвка", "Мосвкка", "Моссвкка", "Роскошь"]
    ids = [finding.ids for finding in near(audit_segments(segments(*chain), []))]
    assert ids == [(4, 5), (5, 6), (6, 7)]


def test_names_that_are_all_alike_are_one_finding() -> None:
    names = ["Подписчики", "Подписчик", "Подпищики", "подписчики", "Подписчики!"]
    assert [(finding.ids, finding.confidence) for finding in near(audit_segments(segments(*names), []))] == [
        ((1, 4), "high"),
        ((1, 2, 3, 5), "medium"),
    ]


def test_a_name_of_pictures_or_of_nothing_is_like_its_own_writing_only() -> None:
    assert near(audit_segments(segments("☕", "🎄", "", "", "\u200b", "!", "1", "2"), [])) == []
    assert deletions(audit_segments(segments("☕\ufe0f", "☕"), [])) == [2]


ODD = "VvВвAaАаOо0ёеЁйиñnéeß²½ -–+.'_,/%№<>&12\u200b\u0301\u0306\u0308\u00a0☕"
NAMES = st.one_of(
    st.text(ODD, max_size=7),
    st.text(max_size=6),
    st.sampled_from([name for pair in (*TWINS, *TRAPS) for name in pair]),
)


@pytest.mark.requirement("TOOL-23")
@given(NAMES, NAMES)
@example("5 -3", "5-3")
@example("R&D", "RD")
@example("", "\u200b")
def test_whatever_two_names_are_a_deletion_or_a_merge_is_suggested_only_when_they_are_one(
    first: str, second: str
) -> None:
    statuses = [Status(id=1, name=first), Status(id=2, name=second)]
    one_name = bool(reduced(first)) and reduced(first) == reduced(second)
    assert deletions(audit_segments(segments(first, second), [])) == ([2] if one_name else [])
    merges = [change for finding in near(audit_statuses(statuses)) for change in finding.suggested_changes]
    assert [(one["action"], one["id"], one["into"]) for one in merges] == ([("merge", 2, 1)] if one_name else [])
    filled = near(audit_segments(segments(first, second, counts=(3, 1)), []))
    assert {change["action"] for finding in filled for change in finding.suggested_changes} <= {"merge"}


@pytest.mark.requirement("TOOL-23")
@given(NAMES, NAMES)
def test_numbers_and_signs_are_never_reduced(first: str, second: str) -> None:
    def kept(name: str) -> list[str]:
        return [char for char in unicodedata.normalize("NFC", name) if char.isdigit() or char in "+%№<>&☕"]

    if reduced(first) == reduced(second):
        assert kept(first) == kept(second)


@given(NAMES)
def test_a_name_in_another_case_spacing_and_composition_is_the_same_name(name: str) -> None:
    assert reduced(unicodedata.normalize("NFD", f"  {name}\u200b ")) == reduced(unicodedata.normalize("NFC", name))
    assert reduced(name.upper().lower()) == reduced(name.lower()) or "ß" in name
