//! Searches through the binary: resumed to the same trace without scoring twice; and programs that score, correctly
//! or not.

use crate::documents::{all, root};
use crate::project::{Project, start, wait_until};
use crate::python::python;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// An experiment of a search with these keys, and the first sequences of a file where a program scores.
fn project(keys: &str) -> Project {
    let project = Project::new();
    project.write(
        "search.yaml",
        format!("name: search\noptimise_latents:\n{keys}"),
    );
    project.write("start.txt", "aab\nbbba\nabab\nccc\naaaaaa\n");
    project
}

/// A program that scores a sequence by its number of letters `a` minus its other letters; one with `cc` is
/// infeasible.
const SCORE: &str = r#"while read -r text; do
  echo "$text" >> asked
  case $text in *cc*) echo infeasible; continue;; esac
  a=$(printf %s "$text" | tr -dc a); other=$(printf %s "$text" | tr -d a)
  echo $((${#a} - ${#other}))
done
"#;

fn of_program(keys: &str) -> Project {
    let project = project(&format!(
        "  objective: {{kind: command, command: [sh, '{{script}}'], script: score.sh, direction: maximise, batch: 4{keys}}}\n  \
         initial: {{count: 5, file: start.txt}}\n  method: {{kind: genetic, population: 5}}\n  calls: 24\n  \
         calls_a_round: 6\n"
    ));
    project.write("score.sh", SCORE);
    project
}

fn table(project: &Project) -> Vec<u8> {
    std::fs::read(project.path("artifacts/runs/search/optimise-latents/evaluations.parquet"))
        .unwrap()
}

fn asked(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(project.path("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The scored texts of an unfinished search on disk.
fn paid(project: &Project) -> BTreeSet<String> {
    let folder = project.path("artifacts/optimise-latents");
    let training = crate::project::starting_with(&folder, ".training-");
    let journal = training.map(|folder| folder.join("kept/evaluations.jsonl"));
    let text = journal.and_then(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line.split_once(' ')?.1).unwrap();
            Some(value["evaluated"]["text"].as_str()?.to_owned())
        })
        .collect()
}

/// The same search in the latents of a trained flow: regions that move, refits, and an external program for the
/// scores.
fn in_latents() -> Project {
    let project = project(
        "  objective: {kind: command, command: [sh, '{script}'], script: score.sh, direction: maximise, batch: 4}\n  \
         initial: {count: 5, file: start.txt}\n  calls: 24\n  calls_a_round: 6\n  \
         method: {kind: latents, regions: {count: 2, candidates: 20}, surrogate: {steps: 3, features: 32}, refit: {every: 8}}\n\
         pretrain_flow:\n  features: {file: lines.txt, tokeniser: {kind: characters}, longest: 7}\n  \
         model: {kind: seqflow, blocks: 1, couplings: 2, hidden: 8, context: {kind: lstm, width: 8}, embedding: {width: 4}}\n  \
         steps: 20\n  batch: 4\n  held_out: {fraction: 0.2}\n  test: {fraction: 0.2}\n",
    );
    project.write("score.sh", SCORE);
    let letters =
        |i: usize| (0..1 + i as u32 % 5).map(move |j| ["a", "b", "c"][i / 3usize.pow(j) % 3]);
    let lines: Vec<String> = (0..40).map(|i| letters(i).collect()).collect();
    project.write("lines.txt", lines.join("\n"));
    project
        .run(&["run", "search.yaml", "--until", "pretrain-flow"])
        .expect(0, &[]);
    project
}

/// Kills: `LATENT_ALIGN_KILLS` of them (`make torture-search` asks for 30), or `few`.
fn kills(few: u64) -> u64 {
    let asked = std::env::var("LATENT_ALIGN_KILLS").ok();
    asked.map_or(few, |n| n.parse().expect("LATENT_ALIGN_KILLS is a number"))
}

/// Fails if a score is used before it is synced, a scored sequence is scored again, or an interrupted round is
/// repeated differently.
#[test]
fn a_search_killed_at_any_moment_asks_nothing_twice_and_has_the_same_trace() {
    kill_at_any_moment(&|| of_program(""), kills(4));
}

/// Fails if weights, regions or fits of a repeated round differ from those of the interrupted one.
#[test]
fn a_search_killed_in_latents_asks_nothing_twice_and_has_the_same_trace() {
    kill_at_any_moment(&in_latents, kills(2));
}

/// Kills searches in projects from `made` at random moments `kills` times, and compares them with an uninterrupted
/// one.
fn kill_at_any_moment(made: &dyn Fn() -> Project, kills: u64) {
    let whole = made();
    let started = Instant::now();
    let first = whole.run(&["run", "search.yaml"]);
    assert_eq!(first.figure("calls of the objective"), 24.0, "{first}");
    let duration = started.elapsed();
    let expected = table(&whole);
    let all = asked(&whole);
    assert_eq!(all.len(), 29, "five of the start, and 24");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 29);

    let seed: u64 = std::env::var("LATENT_ALIGN_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
    let (mut killed, mut kept) = (0, 0);
    while killed < kills {
        let project = made();
        loop {
            let mut command = project.command(&["run", "search.yaml"]);
            let mut child = start(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
            let time = duration.mul_f64(rng.random::<f64>());
            let (before, at) = (paid(&project), asked(&project).len());
            std::thread::sleep(time);
            child.kill().unwrap();
            let is_done = child.wait().unwrap().success();
            killed += u64::from(!is_done);
            // the program dies shortly after the search
            std::thread::sleep(Duration::from_millis(30));
            let again = asked(&project)[at..]
                .iter()
                .find(|text| before.contains(*text))
                .cloned();
            assert_eq!(again, None, "seed {seed}: paid twice");
            kept += paid(&project).len();
            if is_done || rng.random::<f64>() < 0.4 {
                break;
            }
        }
        let (before, at) = (paid(&project), asked(&project).len());
        let last = project.run(&["run", "search.yaml"]);
        assert_eq!(last.code, Some(0), "seed {seed}: {last}");
        let summary = project.path("artifacts/runs/search/summary.md");
        let summary = std::fs::read_to_string(summary).unwrap();
        let rounds = summary.lines().find(|line| line.starts_with("| rounds "));
        let rounds = rounds
            .and_then(|line| line.split('|').nth(2))
            .map(str::trim);
        assert_eq!(rounds, Some("4"), "seed {seed}: {summary}");
        let again = asked(&project)[at..]
            .iter()
            .find(|text| before.contains(*text))
            .cloned();
        assert_eq!(again, None, "seed {seed}: paid twice");
        assert_eq!(table(&project), expected, "seed {seed}: another trace");
        let left = project.entries("artifacts/optimise-latents");
        assert!(
            left.iter().all(|name| !name.starts_with('.')),
            "seed {seed}: {left:?}"
        );
    }
    eprintln!("{killed} kills with seed {seed}: {kept} scores were kept, none paid twice");
}

/// Ctrl-C in the middle of a batch: the program ends too, and its scores are kept.
#[test]
fn a_search_that_is_stopped_ends_its_program_and_keeps_its_scores() {
    let project = of_program("");
    project.write(
        "score.sh",
        "echo $$ > pid; read -r text; echo \"$text\" >> asked; echo 1; sleep 1000 & echo $! > child; wait\n",
    );
    let child = project.spawn(&["run", "search.yaml"]);
    wait_until("score", || !paid(&project).is_empty());
    wait_until("child", || {
        std::fs::read_to_string(project.path("child")).is_ok_and(|text| text.ends_with('\n'))
    });
    crate::project::signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("its partial results are kept"), "{told}");
    for file in ["pid", "child"] {
        is_gone(&project, file);
    }
    assert_eq!(paid(&project).len(), 1);
    project.write("score.sh", SCORE);
    let changed = project.run(&["run", "search.yaml"]);
    changed.expect(0, &[]);
    assert_eq!(
        asked(&project).len(),
        1 + 29,
        "another program scores all again"
    );
}

fn is_gone(project: &Project, file: &str) {
    let number = std::fs::read_to_string(project.path(file)).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", number.trim()));
    wait_until("end of the program", || {
        let state = std::fs::read_to_string(&stat).unwrap_or_default();
        // a zombie waits for its new parent
        state.is_empty() || state.contains(") Z ")
    });
}

/// Errors of an external program, and their messages.
#[test]
fn a_program_that_does_something_else_is_told_with_what_it_did() {
    for (script, keys, told) in [
        (
            // one score per start
            "read -r text; echo 1; exit 3",
            ", retries: 1",
            &[][..],
        ),
        (
            "read -r text; echo 1; echo 'no memory' >&2; exit 3",
            ", retries: 0",
            &[
                "ended with exit code 3 after 1 of 4 scores",
                "The end of its standard error:\n  no memory",
            ],
        ),
        (
            "echo 1; kill -9 $$",
            ", retries: 0",
            &[
                "was killed by signal 9 after 1 of 4 scores",
                "Scores so far are kept",
            ],
        ),
        (
            "echo $$ > pid; sleep 1000",
            ", retries: 1, time_limit: 0.3",
            &[
                "had written 0 of 4 scores after 0.3 s, its time_limit",
                "it was started 2 times",
            ],
        ),
        (
            "echo 1; echo hello; cat > rest",
            "",
            &[
                "wrote \"hello\" to its standard output as line 2",
                "a number, or `infeasible`",
            ],
        ),
        (
            "while read -r text; do echo 1; done; echo 2",
            "",
            &[
                "wrote \"2\" to its standard output as line 5",
                "4 scores and no more",
            ],
        ),
        ("cat > rest", ", retries: 0", &["ended after 0 of 4 scores"]),
        // half a number from a crashed process
        (
            "printf 1.; kill -9 $$",
            ", retries: 0",
            &["after 0 of 4 scores"],
        ),
    ] {
        let project = of_program(keys);
        project.write("score.sh", script);
        let code = if told.is_empty() { 0 } else { 2 };
        let found = project.run(&["run", "search.yaml"]);
        found.expect(code, told);
        if script.contains("> pid") {
            is_gone(&project, "pid");
        }
    }
    let missing = project(
        "  objective: {kind: command, command: [no-such-program], direction: minimise}\n  \
         initial: {count: 5, file: start.txt}\n",
    );
    missing.run(&["run", "search.yaml"]).expect(
        2,
        &["optimise_latents: objective.command: found no program `no-such-program`"],
    );
    assert!(missing.entries("artifacts/optimise-latents").is_empty());
    let uncut = of_program("");
    let tokeniser = "optimise_latents.initial.tokeniser={kind: pattern, pattern: aa|a|c}";
    uncut
        .run(&["run", "search.yaml", "--set", tokeniser])
        .expect(
            2,
            &[
                "start.txt:1:3: found `b`, expected a match of the pattern `aa|a|c`",
                "initial.tokeniser",
            ],
        );
}

/// One process for all batches, restarted after it ends; it gets the environment, and a last line needs no line
/// break.
#[test]
fn a_program_that_keeps_running_is_started_once_unless_it_dies() {
    let keys = ", keep_running: true, environment: {BONUS: \"7\"}";
    let project = of_program(keys);
    let looping = SCORE.replace("${#other}))", "${#other} + BONUS))");
    project.write("score.sh", format!("echo started >> starts\n{looping}"));
    let first = project.run(&["run", "search.yaml"]);
    assert_eq!(first.figure("calls of the objective"), 24.0, "{first}");
    let starts = |project: &Project| {
        std::fs::read_to_string(project.path("starts"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(starts(&project), 1);
    let best = first.figure("best score");

    let plain = of_program(", environment: {BONUS: \"7\"}");
    plain.write("score.sh", format!("echo started >> starts\n{looping}"));
    let again = plain.run(&["run", "search.yaml"]);
    assert_eq!(again.figure("best score"), best);
    // 2 of the start, and 2 of each of four rounds
    assert_eq!(starts(&plain), 10);

    let dying = of_program(keys);
    let dies = "echo started >> starts\n[ $(wc -l < starts) = 2 ] && exit 1\n";
    dying.write(
        "score.sh",
        format!(
            "{dies}count=0\n{}",
            looping.replace(
                "do\n",
                "do\n  count=$((count + 1)); [ $count = 10 ] && exit 1\n"
            )
        ),
    );
    let third = dying.run(&["run", "search.yaml"]);
    third.expect(0, &[]);
    assert_eq!(third.figure("best score"), best);
    assert_eq!(table(&dying), table(&project));
    assert!(starts(&dying) >= 4);
}

/// Sorts letters; a text with two `c` is invalid.
const SORT: &str = r#"optimise_latents.objective.canonical=[sh, -c, 'while read -r text; do
  case $text in *c*c*) echo; continue;; esac; printf %s "$text" | grep -o . | sort | tr -d "\n"; echo; done']"#;

/// Fails if a method proposes, or the start contains, texts that are not in canonical form or invalid.
#[test]
fn what_is_written_in_several_ways_is_scored_once_and_in_one_of_them() {
    for (project, methods) in [
        (of_program(""), &["genetic", "random"][..]),
        (in_latents(), &["latents"]),
    ] {
        for method in methods {
            std::fs::remove_file(project.path("asked")).ok();
            let mut arguments = vec!["run", "search.yaml", "--set", SORT];
            let kind = format!("optimise_latents.method={{kind: {method}}}");
            if *method != "latents" {
                arguments.extend(["--set", &kind]);
            }
            let done = project.run(&arguments);
            done.expect(0, &[]);
            let asked = asked(&project);
            // `ccc` is nothing
            assert_eq!(asked[..4].iter().filter(|text| text.len() > 2).count(), 4);
            let once: BTreeSet<&String> = asked.iter().collect();
            assert_eq!(once.len(), asked.len(), "{method}: {asked:?}");
            for text in &asked {
                assert!(text.is_ascii() && text.as_bytes().is_sorted() && !text.contains("cc"));
            }
            let least = if *method == "random" { 4 } else { 14 };
            assert!(asked.len() >= least, "{method}: {asked:?}");
        }
    }
    let dies = of_program(", retries: 0, canonical: [sh, -c, 'exit 3']");
    dies.run(&["run", "search.yaml"]).expect(
        2,
        &["objective.canonical: `sh -c exit 3` ended with exit code 3 after 0 of 4 sequences"],
    );
}

/// The program that the documentation shows scores as it says.
#[test]
fn the_program_of_the_documentation_scores_sequences() {
    let Some(python) = python("sys") else {
        return;
    };
    let documents = all();
    let page = documents
        .iter()
        .find(|d| d.path == Path::new("docs/optimisation.md"))
        .unwrap();
    let blocks = page.blocks();
    let program = blocks.iter().find(|b| b.language == "python").unwrap();
    let config = blocks
        .iter()
        .find(|b| b.language == "yaml" && b.code.contains("kind: command"))
        .unwrap();
    let project = Project::new();
    project.write("score.py", &program.code);
    project.write("start.txt", "CCO\nCCCC\nC=O\nCN\tinfeasible\n");
    let config = config
        .code
        .replace("python3", &python.display().to_string());
    project.write("search.yaml", config);
    let found = project.run(&["run", "search.yaml"]);
    assert_eq!(found.figure("calls of the objective"), 20.0, "{found}");
    assert!(found.figure("best score") >= 3.0);
}

/// The shipped function has the documented motifs, is feasible, and equals the output of its script.
#[test]
fn the_shipped_ehrlich_function_is_what_its_script_writes() {
    let Some(python) = python("random") else {
        return;
    };
    let config = std::fs::read_to_string(root().join("configs/optimise/ehrlich.yaml")).unwrap();
    let command = config
        .lines()
        .find_map(|line| line.strip_prefix("#   python3 "))
        .unwrap();
    let mut script = std::process::Command::new(python);
    let written =
        crate::project::output(script.args(command.split(' ')).current_dir(root())).unwrap();
    let written = String::from_utf8(written.stdout).unwrap();
    assert!(written.lines().count() > 40 && config.ends_with(&written));
    let project = Project::new();
    project.write("ehrlich.yaml", config.replace("calls: 2000", "calls: 100"));
    // a configuration whose optimum is not feasible would be refused
    let found = project.run(&["run", "ehrlich.yaml"]);
    assert_eq!(found.figure("sequences of the start"), 100.0, "{found}");
    assert!(found.figure("best score") < 1.0);
}

/// Fails if a chart is of another column, or variants of one objective have panels of their own.
#[test]
fn the_report_of_a_sweep_draws_each_method_against_calls() {
    let project = project(
        "  objective: {kind: expression}\n  initial: {count: 3}\n  calls: 12\n  calls_a_round: 4\n",
    );
    project.write(
        "methods.yaml",
        "name: methods\nbase: search.yaml\nlist:\n  - {name: drawn}\n  \
         - {name: bred, set: {optimise_latents.method: {kind: genetic}}}\n  \
         - {name: clipped, set: {optimise_latents.objective: {kind: expression, clipped: true}}}\nseeds: [0, 1]\n",
    );
    project.run(&["sweep", "methods.yaml"]).expect(0, &[]);
    let folder = project.path("artifacts/sweeps/methods");
    let chart = std::fs::read_to_string(folder.join("optimisers.svg")).unwrap();
    for name in ["drawn", "bred", "clipped"] {
        assert!(
            chart.contains(&format!(">{name}</text>")),
            "{name} is missing from {chart}"
        );
    }
    assert_eq!(
        chart.matches("calls of the objective</text>").count(),
        2,
        "a panel for each objective"
    );
    let run = project.path("artifacts/runs/methods.bred.seed0");
    let chart = std::fs::read_to_string(run.join("best-so-far.svg")).unwrap();
    assert!(chart.contains("best score so far</text>"));
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("figure-best-so-far"));

    // the best sequences start another search
    let best = run.join("optimise-latents/best.txt");
    let best = std::fs::read_to_string(best).unwrap();
    assert_eq!(best.lines().count(), 15);
    let scores: Vec<f64> = best
        .lines()
        .map(|line| line.split_once('\t').unwrap().1.parse().unwrap())
        .collect();
    assert!(scores.is_sorted(), "{best}");
    project.write("best.txt", &best);
    let again = [
        "run",
        "search.yaml",
        "--set",
        "optimise_latents.initial={count: 15, file: best.txt}",
    ];
    let again = project.run(&again);
    let error = again.figure("best score of the start") - scores[0];
    assert!(error.abs() < 1e-4 * scores[0], "{again}");
}
