//! The figures of all runs as one table: of each figure the median, of bytes written the least.

use std::fmt::Write;
use std::time::Duration;

use crate::rows::{Figures, Row};

/// Figures of a row: seconds, seconds and bytes, or the size alone.
type Columns = [f64; 3];

/// The column of bytes, which others' writes can only add to.
const WRITTEN: usize = 2;

/// The rows of one server's runs, in the order of the runs.
pub type Runs = Vec<Vec<Row>>;

/// The table; the first server is what the other is measured by.
pub fn table(names: [&str; 2], runs: [&Runs; 2]) -> String {
    let count = runs[0][0].len();
    let mut text = head(&names, &["wall s", "CPU s", "MB written"]);
    for row in (0..count).filter(|row| is_work(&runs[0][0][*row])) {
        let figures = runs.map(|runs| median(runs, row));
        writeln!(text, "{}", line(&runs[0][0][row].name, figures, 3)).unwrap();
    }
    text += "\n";
    text += &head(&names, &["MB"]);
    for row in (0..count).filter(|row| !is_work(&runs[0][0][*row])) {
        let figures = runs.map(|runs| median(runs, row));
        writeln!(text, "{}", line(&runs[0][0][row].name, figures, 1)).unwrap();
    }
    text
}

/// The rows whose answers are not the same in every run of both servers, with what differs.
pub fn differences(names: [&str; 2], runs: [&Runs; 2]) -> Vec<String> {
    let first = &runs[0][0];
    let mut found = Vec::new();
    for (row, expected) in first.iter().enumerate() {
        let others = names.iter().zip(runs).flat_map(|(name, runs)| runs.iter().map(move |run| (name, run)));
        let differs =
            others.into_iter().find_map(|(name, run)| Some((name, difference(expected, run.get(row)?)?)));
        if let Some((name, difference)) = differs {
            found.push(format!(
                "{}: {} answered {}, {name} {}",
                expected.name, names[0], difference.0, difference.1
            ));
        }
    }
    found
}

fn difference(expected: &Row, other: &Row) -> Option<(String, String)> {
    let (one, two) = (&expected.answers, &other.answers);
    if one.len() != two.len() {
        return Some((format!("{} times", one.len()), format!("{} times", two.len())));
    }
    let differing = one.iter().zip(two).find(|(one, two)| one != two);
    differing.map(|(one, two)| (one.clone(), two.clone()))
}

fn is_work(row: &Row) -> bool {
    matches!(row.figures, Figures::Work { .. })
}

fn columns(row: &Row) -> Columns {
    match row.figures {
        Figures::Work { wall, cpu, written } => [seconds(wall), seconds(cpu), written as f64 / 1e6],
        Figures::Size(bytes) => [bytes as f64 / 1e6, 0.0, 0.0],
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn median(runs: &Runs, row: usize) -> Columns {
    [0, 1, 2].map(|column| {
        let mut figures: Vec<f64> = runs.iter().map(|run| columns(&run[row])[column]).collect();
        figures.sort_by(f64::total_cmp);
        figures[if column == WRITTEN { 0 } else { figures.len() / 2 }]
    })
}

/// Of a column; one alone stands under the names of the servers.
fn width(count: usize) -> usize {
    if count == 1 { 16 } else { 11 }
}

fn head(names: &[&str; 2], titles: &[&str]) -> String {
    let width = width(titles.len());
    let wide = width * titles.len();
    let mut text = format!("{:34}", "");
    for name in [names[0], names[1], &format!("{}/{}", names[1], names[0])] {
        write!(text, " | {name:^wide$}").unwrap();
    }
    write!(text, "\n{:34}", "").unwrap();
    for _ in 0..3 {
        text += " | ";
        titles.iter().for_each(|title| write!(text, "{title:>width$}").unwrap());
    }
    text += "\n";
    text
}

fn line(name: &str, [one, two]: [Columns; 2], count: usize) -> String {
    let mut text = format!("{name:34}");
    let width = width(count);
    for figures in [one, two] {
        text += " | ";
        figures[..count].iter().for_each(|figure| write!(text, "{:>width$}", number(*figure)).unwrap());
    }
    text += " | ";
    for (one, two) in one.into_iter().zip(two).take(count) {
        let ratio = if one > 0.0 { format!("{:.2}", two / one) } else { "-".to_owned() };
        write!(text, "{ratio:>width$}").unwrap();
    }
    text
}

/// Three digits, where there are so many.
fn number(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        0.0..1.0 => format!("{figure:.4}"),
        1.0..10.0 => format!("{figure:.2}"),
        _ => format!("{figure:.1}"),
    }
}
