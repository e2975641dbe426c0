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

/// Which flags are asked for, and what a server function that does nothing is given instead, so that it costs the same to make.
struct Shape {
    name: &'static str,
    flag: &'static str,
    actor: &'static str,
}

/// The same flag again and again, and what flatters less: each time another of 1,000 flags, and a flag that lists 10,000 actors.
const SHAPES: [Shape; 3] = [
    Shape {
        name: "",
        flag: "'flag'",
        actor: "'User:' || n",
    },
    Shape {
        name: "/many_flags",
        flag: "'flag-' || n % 1000",
        actor: "'User:' || n",
    },
    Shape {
        name: "/many_actors",
        flag: "'listed'",
        actor: "'Project:' || n % 20000",
    },
];

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut server = Server::start()?;
    server.create_template(TEMPLATE, |client| {
        client.batch_execute(
            "create extension lockstep; select * from lockstep.attach();
             select lockstep.set_feature_percentage('flag', 50);
             select lockstep.enable_feature_for('flag', 'Project:' || n) from generate_series(1, 20) n;
             select lockstep.set_feature_percentage('flag-' || n, 50) from generate_series(0, 999) n;
             select lockstep.enable_feature_for('listed', 'Project:' || n) from generate_series(1, 10000) n",
        )?;
        Ok(())
    })?;
    let mut table = Table::with_heading(["work", "function", "us/call"]);
    let mut figures = Vec::new();
    for (shape, (way, statement)) in SHAPES.iter().flat_map(|shape| WAYS.map(|way| (shape, way))) {
        let name = format!("{NAME}/{way}{}", shape.name);
        if !selection.includes(&name) {
            continue;
        }
        let Shape { flag, actor, .. } = shape;
        let calls = [
            format!("lockstep.feature_enabled({flag}, {actor})"),
            format!("pg_catalog.starts_with({flag}, {actor})"),
        ];
        let mut rounds = Vec::new();
        for _ in 0..size.rounds {
            rounds.push(server.with_copy(TEMPLATE, |copy| {
                let mut times = [0.0; 2];
                for (time, call) in times.iter_mut().zip(&calls) {
                    let statement = statement
                        .replace("CALLS", &size.rows.to_string())
                        .replace("CALL", call);
                    // Once to warm up.
                    copy.client.batch_execute(&statement)?;
                    let start = Instant::now();
                    copy.client.batch_execute(&statement)?;
                    *time = start.elapsed().as_secs_f64() * 1e6 / f64::from(size.rows);
                }
                Ok(times)
            })?);
        }
        for (place, function) in ["feature_enabled", "nothing"].into_iter().enumerate() {
            let time = median(rounds.iter().map(|times| times[place]));
            table.push(vec![
                format!("{way}{}", shape.name),
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
