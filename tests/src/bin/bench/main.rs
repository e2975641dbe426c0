//! Measures lockstep against what it replaces, in one run: one line per figure, with its goal.
//!
//! Arguments select parts, or figures by the beginning of their names: `bench cache_column/narrow/insert`. The lines of a
//! complete part are also written to `target/bench/<part>.tsv`, its table to `target/bench/<part>.txt`.
//!
//! BENCH_ROWS scales the size (default 100,000 rows), BENCH_ROUNDS the number of repetitions (default 5).

mod backfill;
mod cache_column;
mod clock;
mod commit;
mod ddl;
mod feature;
mod figure;
mod incremental_view;
mod job;
mod median;
mod notification;
mod npm;
mod scale;
mod selection;
mod server;
mod service_account;
mod size;
mod slack;
mod slack_propagation;
mod slack_workspace;
mod table;
mod workflows;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use figure::Figure;
use selection::Selection;
use size::Size;
use table::Table;

/// A part of the bench: its name, and the function that runs it.
struct Part {
    name: &'static str,
    run: fn(&Selection, Size) -> Result<Report>,
}

const PARTS: [Part; 13] = [
    Part {
        name: cache_column::NAME,
        run: cache_column::run,
    },
    Part {
        name: service_account::NAME,
        run: service_account::run,
    },
    Part {
        name: backfill::NAME,
        run: backfill::run,
    },
    Part {
        name: scale::NAME,
        run: scale::run,
    },
    Part {
        name: ddl::NAME,
        run: ddl::run,
    },
    Part {
        name: incremental_view::NAME,
        run: incremental_view::run,
    },
    Part {
        name: feature::NAME,
        run: feature::run,
    },
    Part {
        name: job::NAME,
        run: job::run,
    },
    Part {
        name: slack::NAME,
        run: slack::run,
    },
    Part {
        name: slack::pass_through::NAME,
        run: slack::pass_through::run,
    },
    Part {
        name: slack::hostile::NAME,
        run: slack::hostile::run,
    },
    Part {
        name: slack_workspace::NAME,
        run: slack_workspace::run,
    },
    Part {
        name: notification::NAME,
        run: notification::run,
    },
];

/// The measurements of a part.
struct Report {
    /// The raw medians.
    table: Table,
    figures: Vec<Figure>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let selection = Selection::of_arguments();
    let size = Size::from_environment()?;
    let names = PARTS.map(|part| part.name);
    for wanted in selection.wanted() {
        let part = wanted.split('/').next().unwrap_or_default();
        ensure!(
            names.contains(&part),
            "there is no part {part}, only {}",
            names.join(", ")
        );
    }
    let mut short = 0;
    for part in PARTS.iter().filter(|part| selection.includes(part.name)) {
        let report = (part.run)(&selection, size).with_context(|| part.name.to_owned())?;
        short += publish(part, &report, selection.is_whole(part.name))?;
    }
    if short > 0 {
        eprintln!("bench: {short} figures fall short of their reach");
    }
    Ok(())
}

/// Prints a part's table and figures, writes those of a complete part to files, and returns how many figures miss their goal.
fn publish(part: &Part, report: &Report, keep: bool) -> Result<usize> {
    let table = report.table.to_string();
    let lines: String = report
        .figures
        .iter()
        .map(|figure| format!("{figure}\n"))
        .collect();
    print!("{table}\n{lines}");
    if keep {
        let directory = lockstep_tests::target().join("bench");
        for (extension, text) in [("txt", &table), ("tsv", &lines)] {
            let path = directory.join(format!("{}.{extension}", part.name));
            fs::create_dir_all(&directory)
                .and_then(|()| fs::write(&path, text))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(report
        .figures
        .iter()
        .filter(|figure| figure.is_short())
        .count())
}
