//! One scene of the demo: something happens, and the cached values are shown next to the recomputed ones.

use std::time::{Duration, Instant};

use anyhow::Result;
use postgres::Client;

use crate::column::{Column, TRACKER, Totals, Value, WIKI};
use crate::text::{duration, number, print_statement, print_table};

/// What is watched in a scene: projects by cache column, and the totals of both columns.
pub(crate) struct Scene {
    watched: Vec<(Column, Vec<i64>)>,
    before: Vec<(Column, Vec<Value>, Totals)>,
}

impl Scene {
    /// Prints a heading and records the values at the start.
    pub(crate) fn open(
        client: &mut Client,
        title: &str,
        trackers: &[i64],
        wikis: &[i64],
    ) -> Result<Self> {
        println!();
        println!("{title}");
        let watched = vec![(TRACKER, trackers.to_vec()), (WIKI, wikis.to_vec())];
        let before = look(client, &watched)?;
        Ok(Self { watched, before })
    }

    /// Runs one statement and prints it.
    pub(crate) fn execute(&self, client: &mut Client, statement: &str) -> Result<()> {
        let start = Instant::now();
        let rows = client.execute(statement, &[])?;
        report(statement, Some(rows), start.elapsed());
        Ok(())
    }

    /// Prints each watched value before and after, and returns how many values are wrong over all projects.
    pub(crate) fn close(self, client: &mut Client) -> Result<i64> {
        let after = look(client, &self.watched)?;
        let heading = ["project", "column", "before", "cached", "recomputed", ""];
        let mut table = vec![heading.map(str::to_owned).to_vec()];
        let mut wrong = 0;
        for ((column, values_before, totals_before), (_, values, totals)) in
            self.before.iter().zip(&after)
        {
            for value in values {
                let before = values_before
                    .iter()
                    .find(|before| before.project == value.project);
                table.push(vec![
                    value.project.to_string(),
                    column.name.to_owned(),
                    state(before.and_then(|before| before.cached)),
                    state(value.cached),
                    state(Some(value.recomputed)),
                    verdict(value.cached == Some(value.recomputed)),
                ]);
            }
            wrong += totals.wrong;
            if values.is_empty() && totals == totals_before {
                continue;
            }
            table.push(vec![
                "all true".to_owned(),
                column.name.to_owned(),
                number(totals_before.cached),
                number(totals.cached),
                number(totals.recomputed),
                verdict(totals.wrong == 0),
            ]);
        }
        print_table(&table);
        Ok(wrong)
    }
}

/// Prints a statement with the number of rows and the time.
pub(crate) fn report(statement: &str, rows: Option<u64>, elapsed: Duration) {
    let rows = match rows {
        Some(1) => "1 row, ".to_owned(),
        Some(rows) if rows > 0 => format!("{} rows, ", number(rows)),
        _ => String::new(),
    };
    print_statement(4, statement, &format!("{rows}{}", duration(elapsed)));
}

fn look(
    client: &mut Client,
    watched: &[(Column, Vec<i64>)],
) -> Result<Vec<(Column, Vec<Value>, Totals)>> {
    watched
        .iter()
        .map(|(column, projects)| {
            Ok((
                *column,
                column.values(client, projects)?,
                column.totals(client)?,
            ))
        })
        .collect()
}

fn state(value: Option<bool>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

fn verdict(right: bool) -> String {
    if right { "" } else { "<- wrong" }.to_owned()
}
