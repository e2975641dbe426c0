//! Feature flags: the cost of a check, compared with a function that does nothing.

use std::time::Instant;

use anyhow::Result;

use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "feature";

const TEMPLATE: &str = "features";

/// Ways to call a function repeatedly: for the rows of one statement, and in a statement each.
const WAYS: [(&str, &str); 2] = [
    (
        "rows",
        "select count(CALL) from generate_series(1, CALLS) n",
    ),
    (
        "statements",
        "do $$ begin for n in 1 .. CALLS loop perform CALL; end loop; end $$",
    ),
];

const QUESTION: &str = "lockstep.feature_enabled('flag', 'User:' || n)";

/// A server function that does nothing, with the same argument.
const NOTHING: &str = "pg_catalog.length('User:' || n)";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut server = Server::start()?;
    server.create_template(TEMPLATE, |client| {
        client.batch_execute(
            "create extension lockstep; select * from lockstep.attach();
             select lockstep.set_feature_percentage('flag', 50);
             select lockstep.enable_feature_for('flag', 'Project:' || n) from generate_series(1, 20) n",
        )?;
        Ok(())
    })?;
    let mut table = Table::with_heading(["work", "function", "us/call"]);
    let mut figures = Vec::new();
    for (way, statement) in WAYS {
        let name = format!("{NAME}/{way}");
        if !selection.includes(&name) {
            continue;
        }
        let mut rounds = Vec::new();
        for _ in 0..size.rounds {
            rounds.push(server.with_copy(TEMPLATE, |copy| {
                let calls = f64::from(size.rows);
                let mut times = [0.0; 2];
                for (time, call) in times.iter_mut().zip([QUESTION, NOTHING]) {
                    let statement = statement
                        .replace("CALLS", &size.rows.to_string())
                        .replace("CALL", call);
                    // Once to warm up.
                    copy.client.batch_execute(&statement)?;
                    let start = Instant::now();
                    copy.client.batch_execute(&statement)?;
                    *time = start.elapsed().as_secs_f64() * 1e6 / calls;
                }
                Ok(times)
            })?);
        }
        for (place, function) in ["feature_enabled", "nothing"].into_iter().enumerate() {
            let time = median(rounds.iter().map(|times| times[place]));
            table.push(vec![
                way.to_owned(),
                function.to_owned(),
                format!("{time:.3}"),
            ]);
        }
        figures.push(Figure::with_reach(
            format!("{name}/beyond_nothing"),
            median(rounds.iter().map(|times| times[0] - times[1])),
            "us/call",
            Reach::AtMost(3.0),
        ));
    }
    Ok(Report { table, figures })
}
