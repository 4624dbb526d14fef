//! Problems with imports between files.

use super::imports::{Arrow, Names};
use std::collections::{BTreeMap, BTreeSet};

/// The name of a file's module.
pub fn shown(module: &Names) -> String {
    match module.is_empty() {
        true => "(root)".to_owned(),
        false => module.join("::"),
    }
}

/// Every cycle: its files, and the imports between them.
pub fn circles(arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let mut next: BTreeMap<&Names, BTreeSet<&Names>> = BTreeMap::new();
    for arrow in arrows {
        next.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    let reached_from = |start: &Names| {
        let (mut reached, mut ahead) = (BTreeSet::new(), vec![start]);
        while let Some(file) = ahead.pop() {
            for to in next.get(file).into_iter().flatten() {
                if reached.insert(*to) {
                    ahead.push(to);
                }
            }
        }
        reached
    };
    let reach: BTreeMap<&Names, BTreeSet<&Names>> = next
        .keys()
        .map(|from| (*from, reached_from(from)))
        .collect();
    let reaches = |a: &Names, b: &Names| reach.get(a).is_some_and(|reached| reached.contains(b));
    let (mut told, mut found) = (BTreeSet::new(), Vec::new());
    for file in reach.keys().filter(|file| reaches(file, file)) {
        if told.contains(file) {
            continue;
        }
        let circle: BTreeSet<&Names> = (reach.keys().copied())
            .filter(|other| reaches(file, other) && reaches(other, file))
            .collect();
        let inside = arrows
            .iter()
            .filter(|a| circle.contains(&a.from) && circle.contains(&a.to));
        let files: Vec<String> = circle.iter().map(|file| shown(file)).collect();
        let lines: Vec<String> = inside.map(line_of).collect();
        found.push(format!(
            "a circle of {}:\n{}",
            files.join(", "),
            lines.join("\n")
        ));
        told.extend(circle);
    }
    found
}

/// Every import from a room to one above it, and rooms that are not listed: `floors` are the rooms, from the
/// bottom up. The root is above all.
pub fn upward<'a>(
    files: impl Iterator<Item = &'a Names>,
    arrows: &BTreeSet<Arrow>,
    floors: &[&str],
) -> Vec<String> {
    let floor = |file: &Names| match file.first() {
        Some(room) => floors.iter().position(|floor| floor == room),
        None => Some(floors.len()),
    };
    let rooms: BTreeSet<&str> = files
        .filter_map(|file| Some(file.first()?.as_str()))
        .collect();
    let without = rooms.iter().filter(|room| !floors.contains(room));
    let gone = floors.iter().filter(|floor| !rooms.contains(*floor));
    let mut found: Vec<String> =
        without
            .map(|room| format!("`{room}` stands on no floor: add it to the list"))
            .chain(gone.map(|room| {
                format!("`{room}` is in the list of floors, but there is no such room")
            }))
            .collect();
    let is_up = |arrow: &&Arrow| match (floor(&arrow.from), floor(&arrow.to)) {
        (Some(from), Some(to)) => from < to,
        _ => false,
    };
    let up = arrows.iter().filter(is_up);
    found.extend(up.map(|arrow| format!("upward:\n{}", line_of(arrow))));
    found
}

fn line_of(arrow: &Arrow) -> String {
    let Arrow {
        from,
        to,
        line,
        written,
    } = arrow;
    format!(
        "    {}, line {line}: {written} -> {}",
        shown(from),
        shown(to)
    )
}
