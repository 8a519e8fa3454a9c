"""The recipes of the documentation are instances with the optima that stand below them."""

import json
import re

import jsonschema
import pytest
from places import ROOT

import mecopt
from mecopt import objective
from mecopt.json_schemas import json_schema

RECIPE = re.compile(
    r"^## (?P<title>.*?)$.*?^```json\n(?P<document>.*?)^```\n\n"
    r"Optimum: (?P<worth>.*?), placement `(?P<placement>.*?)`",
    re.DOTALL | re.MULTILINE,
)
RECIPES = [match.groupdict() for match in RECIPE.finditer((ROOT / "docs" / "recipes.md").read_text())]


def solved(title):
    (recipe,) = (recipe for recipe in RECIPES if recipe["title"] == title)
    return mecopt.solve(mecopt.from_dict(json.loads(recipe["document"])), "enumeration")


def test_every_wish_has_a_recipe():
    page = (ROOT / "docs" / "recipes.md").read_text()
    assert len(RECIPES) == page.count("\n## ") == page.count("```json") == 8


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe["title"] for recipe in RECIPES])
def test_a_recipe_has_its_optimum(recipe):
    document = json.loads(recipe["document"])
    jsonschema.validate(document, json_schema("instance"))
    instance = mecopt.from_dict(document)
    assert instance.format == "mecopt-instance/2"
    result = mecopt.solve(instance, "enumeration")
    assert result.status == "optimal"
    unit = f" {objective.unit(instance)}".rstrip()
    assert f"{result.objective:.6g}{unit}" == recipe["worth"]
    assert result.to_dict()["placement"] == json.loads(recipe["placement"])


def test_the_figures_in_the_text():
    fast = solved("50 ms end to end").instance
    assert mecopt.evaluate(fast, [[1, 1, 1]]).total_delay_s == pytest.approx(0.0653, abs=5e-5)
    least = solved("Least energy within 50 ms")
    assert least.evaluation.total_delay_s == pytest.approx(0.0492, abs=5e-5)
    assert least.evaluation.energy_j == pytest.approx(0.012)
    fastest = mecopt.evaluate(least.instance, [[0, 1, 1]])
    assert fastest.total_delay_s == pytest.approx(0.0422, abs=5e-5)
    assert fastest.energy_j == pytest.approx(0.104)
    private = solved("The first block stays on the camera").instance
    assert mecopt.solve(private.replace(allow=()), "enumeration").placement.tolist() == [[1, 1, 1]]
    frames = solved("30 frames a second")
    assert 1 / frames.objective == pytest.approx(41.7, abs=0.05)
    assert frames.evaluation.total_delay_s == pytest.approx(0.0544, abs=5e-5)
    prefill, decode = solved("Time to first token, time per token").to_dict()["schedule"][0]["phases"]
    assert prefill["delay_s"] == pytest.approx(0.0302, abs=5e-5)
    assert decode["delay_s"] / decode["repeat"] == pytest.approx(0.0141, abs=5e-5)
