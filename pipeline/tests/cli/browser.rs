//! Reports as a reader sees them, in a browser.

use crate::chromium::Browser;
use crate::project::Project;
use crate::tiny::{plane, project};
use serde_json::Value;
use std::path::Path;

/// Opens the report in `file` and checks what every report must be.
fn open(project: &Project, file: &Path) -> Option<Browser> {
    assert!(file.metadata().unwrap().len() < 1_000_000);
    let mut browser = Browser::start(&project.path("."))?;
    browser.open(file, 1280);
    assert_eq!(browser.errors(), Vec::<&Value>::new());
    let requests = browser.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("file://") && requests[0].ends_with("/report.html"));

    figures_have_marks(&mut browser);
    tables_can_be_sorted(&mut browser);
    figures_say_values(&mut browser);
    it_fits_a_phone_and_the_dark(&mut browser);
    assert_eq!(browser.errors(), Vec::<&Value>::new());
    assert_eq!(browser.requests().len(), 1);
    Some(browser)
}

/// Brings the element `e` into view, and returns the place in the window that `place` says of it and of
/// its box `b`.
#[track_caller]
fn place_of(browser: &mut Browser, element: &str, place: &str) -> (f64, f64) {
    let found = browser.value(&format!(
        "(async () => {{
            const e = {element};
            e.scrollIntoView({{block: 'center', inline: 'center', behavior: 'instant'}});
            // what follows from scrolling happens within two frames
            for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
            const b = e.getBoundingClientRect();
            return {place};
        }})()"
    ));
    let at = |i: usize| found[i].as_f64().unwrap();
    (at(0), at(1))
}

/// Every figure has a size, and marks of data that have one.
fn figures_have_marks(browser: &mut Browser) {
    let empty = browser.value(
        "[...document.querySelectorAll('figure')].filter(figure => {
            const sized = e => { const b = e.getBoundingClientRect(); return b.width > 1 || b.height > 1; };
            const marks = figure.querySelectorAll('[data-s], [data-t], [data-levels], img');
            const plots = [...figure.querySelectorAll('svg, img')];
            return !plots.length || !plots.every(p => p.getBoundingClientRect().height > 20)
                || ![...marks].some(sized);
        }).map(figure => figure.id)",
    );
    assert_eq!(empty, Value::Array(vec![]), "empty figures");
    let bad = browser.value(
        "[...document.querySelectorAll('svg *')].filter(e => [...e.attributes].some(a =>
            /^(x|y|d|cx|cy|width|height|transform|points)$/.test(a.name) && /NaN|inf/.test(a.value))).length",
    );
    assert_eq!(bad, 0, "numbers that are none");
}

/// A click on a header of each table orders its rows by that column, another one the other way round.
fn tables_can_be_sorted(browser: &mut Browser) {
    let count = browser.value("document.querySelectorAll('table.sortable').length");
    let count = count.as_u64().unwrap();
    assert!(count >= 2, "{count} tables");
    for table in 0..count {
        let column = format!(
            "(() => {{
                const table = document.querySelectorAll('table.sortable')[{table}];
                const rows = [...table.tBodies[0].rows];
                const values = i => rows.map(r => r.cells[i].dataset.v);
                const heads = [...table.querySelectorAll('th')];
                const differ = i => new Set(values(i)).size > 1 && values(i).every(v => v !== undefined);
                const found = heads.findIndex((_, i) => differ(i));
                return found;
            }})()"
        );
        let column = browser.value(&column).as_i64().unwrap();
        let Ok(column) = usize::try_from(column) else {
            continue; // nothing to order by a number
        };
        for direction in ["ascending", "descending"] {
            let head = format!(
                "document.querySelectorAll('table.sortable')[{table}].querySelectorAll('th')[{column}]"
            );
            let place = place_of(browser, &head, "[b.x + b.width / 2, b.y + b.height / 2]");
            browser.point(place.0, place.1, true);
            let shown = browser.value(&format!("{head}.getAttribute('aria-sort')"));
            assert_eq!(shown, direction, "table {table}");
            let values = browser.value(&format!(
                "[...document.querySelectorAll('table.sortable')[{table}].tBodies[0].rows]
                    .map(r => r.cells[{column}].dataset.v)"
            ));
            let values = values.as_array().unwrap().iter();
            let values: Vec<&str> = values.map(|v| v.as_str().unwrap()).collect();
            let numbers: Vec<f64> = values.iter().filter_map(|v| v.parse().ok()).collect();
            // what has no value stays below
            assert!(
                values[numbers.len()..].iter().all(|v| v.is_empty()),
                "{values:?}"
            );
            let ordered = numbers.windows(2).all(|w| match direction {
                "ascending" => w[0] <= w[1],
                _ => w[0] >= w[1],
            });
            assert!(ordered && numbers.len() > 1, "{direction}: {values:?}");
        }
    }
}

/// The value of a mark is said where the mouse is over it, and nothing where it is not.
fn figures_say_values(browser: &mut Browser) {
    // the middle of a mark, or the first corner or dot of a path
    let mark =
        "(document.querySelector('circle[data-t]') ?? document.querySelector('path[data-s]'))";
    let start = "e.localName === 'circle' ? [b.x + b.width / 2, b.y + b.height / 2]
        : (s => [s.x, s.y])(e.getPointAtLength(0).matrixTransform(e.getScreenCTM()))";
    let place = place_of(browser, mark, start);
    browser.point(place.0, place.1, false);
    let said = browser.value(
        "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent",
    );
    let said = said.as_str().unwrap();
    assert!(
        said.contains(|c: char| c.is_ascii_digit()),
        "`{said}` at {place:?}"
    );
    assert!(
        !said.contains("NaN") && !said.contains("undefined"),
        "{said}"
    );
    browser.point(2.0, 2.0, false);
    assert_eq!(browser.value("document.getElementById('tip').hidden"), true);
}

fn it_fits_a_phone_and_the_dark(browser: &mut Browser) {
    browser.resize(390);
    let wide = browser.value(
        "[document.documentElement.scrollWidth, ...[...document.querySelectorAll('main *, header *')]
            .filter(e => !e.closest('.scroll, pre, svg')).map(e => Math.ceil(e.getBoundingClientRect().right))]",
    );
    let widest = wide
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_i64)
        .max();
    assert!(widest <= Some(390), "{widest:?} pixels of 390");
    let ground = "getComputedStyle(document.body).backgroundColor";
    let ink = "getComputedStyle(document.querySelector('svg text')).fill";
    browser.prefer("light");
    let light = [browser.value(ground), browser.value(ink)];
    browser.prefer("dark");
    let dark = [browser.value(ground), browser.value(ink)];
    assert_eq!(light[0], "rgb(255, 255, 255)");
    assert!(
        light[0] != dark[0] && light[1] != dark[1],
        "{light:?} {dark:?}"
    );
    browser.prefer("light");
    browser.resize(1280);
}

#[test]
fn the_report_of_a_run_opens_and_answers() {
    let project = project();
    let ran = project.run(&["run", "tiny.yaml"]);
    ran.expect(0, &["artifacts/runs/tiny/report.html"]);
    assert!(
        ran.stdout.ends_with("artifacts/runs/tiny/report.html\n"),
        "{ran}"
    );
    let file = project.path("artifacts/runs/tiny/report.html");
    let Some(mut browser) = open(&project, &file) else {
        return;
    };
    let figures = browser.value("[...document.querySelectorAll('figure')].map(f => f.id)");
    for name in [
        "principal-plane",
        "marginals",
        "variances",
        "surrogate",
        "learning-curves",
        "timings",
        "reconstructions",
    ] {
        let found = figures
            .as_array()
            .unwrap()
            .iter()
            .any(|id| *id == format!("figure-{name}"));
        assert!(found, "{name} is missing from {figures}");
    }
    // a table that is long has a field that filters it
    let left = browser.value(
        "(() => {
            const input = document.querySelector('#figures input[type=search]');
            input.value = 'test effective rank of features';
            input.dispatchEvent(new Event('input'));
            return [...document.querySelectorAll('#figures tbody tr')].filter(r => !r.hidden).map(r => r.cells[1].textContent);
        })()",
    );
    assert_eq!(left, serde_json::json!(["test effective rank of features"]));
    let printed = browser.call(
        "Page.printToPDF",
        serde_json::json!({"printBackground": true}),
    );
    assert!(printed["data"].as_str().unwrap().len() > 20_000);
}

#[test]
fn heat_maps_say_the_value_of_a_cell() {
    let project = plane();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let file = project.path("artifacts/runs/tiny/report.html");
    let Some(mut browser) = open(&project, &file) else {
        return;
    };
    let image = "document.querySelector('#figure-heatmaps image')";
    let corner = place_of(&mut browser, image, "[b.x + 4, b.y + 4]");
    browser.point(corner.0, corner.1, false);
    let said = browser.value("document.getElementById('tip').textContent");
    let said = said.as_str().unwrap();
    assert!(said.starts_with("y₀ ") && said.contains("\ny₁ "), "{said}");
    assert!(
        ["about ", "at least "]
            .iter()
            .any(|word| said.contains(word)),
        "{said}"
    );
}

#[test]
fn the_report_of_a_sweep_opens_and_answers() {
    let project = project();
    project.write(
        "weights.yaml",
        "name: weights
base: tiny.yaml
list:
  - {name: small, set: {train_autoencoder.regulariser.weight: 0.001}}
  - {name: large, set: {train_autoencoder.regulariser.weight: 1.0}}
  - {name: none, set: {train_autoencoder.regulariser: {kind: none}}}
  - {name: broken, set: {train_autoencoder.latent.width: 3}}
seeds: [0, 1]
objective: {figure: \"estimate-nll: held-out latents: mean NLL, ODE (nats)\"}
constraints:
  - {figure: \"train-autoencoder: held-out mean squared error\", at_most: 1000}
",
    );
    project
        .run(&["sweep", "weights.yaml"])
        .expect(1, &["2 of 8 trials failed"]);
    let reported = project.run(&["report", "weights"]);
    reported.expect(0, &[]);
    assert!(
        reported
            .stdout
            .ends_with("artifacts/sweeps/weights/report.html\n"),
        "{reported}"
    );
    for figure in ["objective.svg", "pareto.svg"] {
        let svg =
            std::fs::read_to_string(project.path(&format!("artifacts/sweeps/weights/{figure}")));
        roxmltree::Document::parse(&svg.unwrap()).unwrap();
    }
    let file = project.path("artifacts/sweeps/weights/report.html");
    let Some(mut browser) = open(&project, &file) else {
        return;
    };
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for part in [
        "has the best mean",
        "6 of 8",
        "Pareto front",
        "expected 2, the width of the flow",
    ] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
    let rows = browser.value("document.querySelectorAll('#trials tbody tr').length");
    assert_eq!(rows, 8);
    // every link to a trial leads to its report
    let links = browser.value("[...document.querySelectorAll('#trials tbody a')].map(a => decodeURI(new URL(a.href).pathname))");
    let links = links.as_array().unwrap();
    assert!(links.len() >= 6, "{links:?}");
    for link in links {
        assert!(Path::new(link.as_str().unwrap()).is_file(), "{link}");
    }
}
